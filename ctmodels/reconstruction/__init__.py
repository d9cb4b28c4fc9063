"""The main job: data -> model -> fit -> metrics -> report."""

from ctmodels.reconstruction._candidate import Candidate as Candidate, Problem as Problem
from ctmodels.reconstruction._candidates import CANDIDATES as CANDIDATES
from ctmodels.reconstruction._ensemble import MeanDynamics as MeanDynamics
from ctmodels.reconstruction._files import load_model as load_model, save_model as save_model
from ctmodels.reconstruction._fit_law import LawFit as LawFit, fit_law as fit_law
from ctmodels.reconstruction._forecast import export_model as export_model, forecast_csv as forecast_csv
from ctmodels.reconstruction._law import law_candidate as law_candidate
from ctmodels.reconstruction._lead_times import LeadTimes as LeadTimes
from ctmodels.reconstruction._parameters import Parameter as Parameter, Parameters as Parameters
from ctmodels.reconstruction._provenance import Provenance as Provenance
from ctmodels.reconstruction._recipe import Recipe as Recipe
from ctmodels.reconstruction._reconstruct import reconstruct as reconstruct
from ctmodels.reconstruction._result import Fitted as Fitted, Reconstruction as Reconstruction
from ctmodels.reconstruction._scores import Scores as Scores
from ctmodels.reconstruction._trained import Trained as Trained
from ctmodels.reconstruction._verdict import Evidence as Evidence
