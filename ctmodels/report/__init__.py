"""The report: one page of a reconstruction, for the eye."""

from ctmodels.report._page import render as render
