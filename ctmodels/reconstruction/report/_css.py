"""The page's style sheet: the reader's own fonts, two themes, nothing wider than a telephone."""

from ctmodels.plot._style import COLOURS, GREY, INK
from ctmodels.reconstruction.report._themes import page_rules

PHONE = 640  # pixels; up to so many, figures drawn for narrow pages are shown

CSS = (
    """
:root { --paper: #fff; --ink: #1b1f24; --soft: #59626d; --rule: #e1e5ea; --wash: #f5f7f9; --yes:
  #0072b2; --no: #b34700; --shade: #0002;
  color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --paper: #15181c; --ink: #e6e9ed; --soft: #a2abb6;
  --rule: #31373f;
  --wash: #1e2328; --yes: #56b4e9; --no: #f0884a; --shade: #000c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 -apple-system,
  "Segoe UI", Roboto,
  "Helvetica Neue", Arial, sans-serif; -webkit-text-size-adjust: 100%; }
main { max-width: 1010px; margin: 0 auto; padding: 2.5rem 1.4rem 4rem; overflow-wrap: anywhere; }
.kicker { margin: 0; color: var(--soft); font-size: .8rem; letter-spacing: .09em; text-transform:
  uppercase; }
h1 { margin: .1rem 0 .5rem; font-size: 2.1rem; line-height: 1.15; letter-spacing: -.015em; }
h2 { margin: 0 0 .9rem; padding-top: 1.1rem; border-top: 1px solid var(--rule); font-size:
  1.25rem; letter-spacing: -.01em; }
section { margin-top: 2.6rem; }
ul.facts, ul.key { list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap; }
ul.facts { gap: .1rem 1.5rem; color: var(--soft); font-size: .95rem; }
ul.facts b { color: var(--ink); font-weight: 600; }
.verdict { margin: 1.6rem 0 0; padding: .9rem 1.2rem 1rem; border-left: 5px solid var(--yes);
  background: var(--wash);
  border-radius: 0 6px 6px 0; font-size: 1.4rem; line-height: 1.4; }
.verdict.none { border-color: var(--no); }
.scroll { overflow-x: auto; background: linear-gradient(to right, var(--paper) .7rem, transparent)
  0 / 1.4rem 100% local no-repeat, linear-gradient(to left, var(--paper) .7rem, transparent)
  100% / 1.4rem 100% local no-repeat, linear-gradient(to right, var(--shade), transparent)
  0 / .7rem 100% no-repeat, linear-gradient(to left, var(--shade), transparent)
  100% / .7rem 100% no-repeat; }
table { width: 100%; border-collapse: collapse; font-size: .93rem; font-variant-numeric:
  tabular-nums;
  overflow-wrap: normal; }
th, td { padding: .45rem .65rem; text-align: right; border-bottom: 1px solid var(--rule);
  white-space: nowrap; }
thead th { vertical-align: bottom; white-space: normal; color: var(--soft); font-weight: 600;
  font-size: .84rem;
  line-height: 1.3; border-bottom: 2px solid var(--rule); }
th:first-child { text-align: left; padding-left: .4rem; }
tbody th { font-weight: 500; }
tr.base { color: var(--soft); }
tr.base th { padding-left: 1.5rem; }
tr.first { background: color-mix(in srgb, var(--ink) 4%, transparent); }
.scroll th:first-child { position: sticky; left: 0; background: var(--paper); }
.scroll tr.first th:first-child { background: color-mix(in srgb, var(--ink) 4%, var(--paper)); }
td.none { color: var(--soft); } td.bad { color: var(--no); }
sub, sup { line-height: 0; font-size: .75em; }
.way { color: var(--soft); }
.tag { margin-left: .5rem; padding: .05rem .45rem; border: 1px solid var(--rule); border-radius:
  99px; color: var(--soft);
  font-size: .72rem; font-weight: 400; }
.tag.best { border-color: var(--yes); color: var(--yes); }
.dot { display: inline-block; width: .65em; height: .65em; margin-right: .5em; border-radius: 50%; }
details { margin-top: 1rem; font-size: .9rem; }
summary { color: var(--soft); cursor: pointer; }
dl { display: grid; grid-template-columns: minmax(7.5rem, max-content) 1fr; gap: .35rem 1.2rem;
  margin: .7rem 0 0; }
dl.facts { font-size: .93rem; }
dt { font-weight: 600; } dd { margin: 0; color: var(--soft); } dd em { font-style: normal; color:
  var(--ink); }
ul.key { gap: .2rem 1.4rem; margin-bottom: .6rem; font-size: .9rem; }
.key i { display: inline-block; width: 1.6em; margin-right: .5em; vertical-align: middle;
  border-top: 2px solid var(--c); }
.key i.thick { border-top-width: 4px; } .key i.dashes { border-top-style: dashed; }
.key i.band { height: .95em; border: 0; background: linear-gradient(var(--c), var(--c)) center /
  100% 3px no-repeat,
  color-mix(in srgb, var(--c) 22%, transparent); }
.figures { display: grid; gap: .8rem; } .figures + .figures { margin-top: .8rem; }
.two { grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); }
.three { grid-template-columns: repeat(auto-fit, minmax(min(19rem, 100%), 1fr)); }
img { display: block; width: 100%; height: auto; }
.two img { max-width: 500px; margin: 0 auto; } .three img { max-width: 380px; margin: 0 auto; }
.note { margin: .7rem 0 0; color: var(--soft); font-size: .9rem; }
pre { margin: .5rem 0 0; padding: .7rem 1rem; background: var(--wash); border-radius: 6px;
  white-space: pre-wrap; }
@media (prefers-color-scheme: dark) { .key i.band { background: linear-gradient(var(--c), var(--c)) center / 100% 3px
  no-repeat, color-mix(in srgb, var(--c) 30%, transparent); } }
@media (max-width: PHONEpx) { .one img { max-width: 520px; margin: 0 auto; }
  .tag { display: block; width: max-content; margin: .2rem 0 0; }
  th, td { padding: .4rem; } tbody th { white-space: normal; } .dot { margin-right: .35em; }
  main { padding: 1.4rem 1rem 3rem; } h1 { font-size: 1.6rem; } .verdict
  { font-size: 1.15rem; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; } }
@media print { main { max-width: none; padding: 0; } section { break-inside: avoid; } }
""".replace("PHONE", str(PHONE))
    + page_rules((*COLOURS, INK, GREY))
)
