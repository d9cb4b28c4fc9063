"""From a learned field to an equation: sparse regression, a search over expressions, a fit through the solve."""

from ctmodels.symbolic._choose import Chosen as Chosen, choose as choose
from ctmodels.symbolic._explain import Learned as Learned, explain as explain, learned as learned
from ctmodels.symbolic._front import Candidate as Candidate, Front as Front
from ctmodels.symbolic._search import search as search
from ctmodels.symbolic._sparse import eliminate as eliminate, sparse as sparse
from ctmodels.symbolic._written import equations as equations, formula as formula, law as law
