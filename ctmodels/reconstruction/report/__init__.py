"""The report: one page of a reconstruction, for the eye."""

from ctmodels.reconstruction.report._page import render as render
