"""The gallery of the built pages: each example run, with what it prints and draws, and as a notebook to download.

An example is run once for what it says: results lie in .gallery_cache, under a hash of its source, its settings and the
versions of ctmodels and JAX. One that fails fails the build. With CTMODELS_GALLERY=pages in the environment nothing new
is run, and pages whose results are not there say so: for those who write other pages.
"""

import ast
import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXAMPLES, CACHE = ROOT / "examples", ROOT / ".gallery_cache"
LIMIT = 600  # seconds for one example

# What is set otherwise than an example's own main does, so that the whole gallery takes ten minutes on two cores.
SETTINGS: dict[str, dict] = {
    "analyse_dynamics": dict(samples=1000, steps=1500, count=60, figure="analyse_dynamics.png"),
    "classify_spirals": dict(steps=200),
    "faster_neural_ode": dict(points=1000, steps=150, batch_size=128),
    "forecast_irregular": dict(steps=150),
    "irregular_pendulum": dict(number=100, features=16, depth=2, modes=8, steps=80),
    "known_systems": dict(figure="known_systems.png"),
    "langevin_flow": dict(trials=60, bins=50, steps=300),
    "latent_ode": dict(steps=450),
    "latent_sde": dict(number=256, steps=300),
    "learned_field_to_equation": dict(members=1, steps=1000),
    "long_sequences": dict(number=256, length=256, features=16, depth=2, noise=0.5, steps=200),
    "lyapunov_spectrum": dict(time=200.0),
    "neural_ode_spiral": dict(steps=500),
    "parallel_recurrence": dict(rows=100),
    "reconstruct_lorenz": dict(samples=2000, members=2, steps=1000),
    "sde_gan": dict(number=512, samples=32, steps=200),
    "sde_matching": dict(steps=600),
    "self_pretraining": dict(number=256, pretraining=200, steps=150),
    "streaming": dict(number=64, samples=12, hidden=16, steps=60),
    "sweep_seeds": dict(seeds=8, steps=400),
    "teacher_forcing": dict(samples=4000, steps=1500, lengths=(50, 200, 800)),
    "two_processes": dict(files=8, each=512, steps=150),
}
# What an example imports that not every installation has: without it, its page says that it was not run.
NEEDS = {"two_processes": ("grain", "orbax")}

# Words that are not written small.
PROPER = {"gan": "GAN", "ode": "ODE", "sde": "SDE"}
PROPER |= {name: name.title() for name in ("langevin", "lorenz", "lotka", "volterra")}

# Cards, and figures that are made for white paper.
STYLE = """<style>
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 0.8rem; }
.gallery > div { border: 1px solid var(--md-default-fg-color--lightest); border-radius: 4px; padding: 0 0.8rem; }
.gallery img { width: 100%; height: 9rem; object-fit: contain; }
article img { background: white; border-radius: 4px; }
</style>
"""


def names() -> list[str]:
    """Of all examples, as paths below examples/ without their ending."""
    return sorted(path.relative_to(EXAMPLES).with_suffix("").as_posix() for path in EXAMPLES.rglob("*.py"))


def title(name: str) -> str:
    words = [PROPER.get(word, word) for word in Path(name).name.split("_")]
    return " ".join([words[0][0].upper() + words[0][1:], *words[1:]])


def prose(source: str) -> str:
    return ast.get_docstring(ast.parse(source)) or ""


def code(source: str) -> str:
    """All but the docstring."""
    first = ast.parse(source).body[0]
    return "\n".join(source.splitlines()[first.end_lineno :]).strip() + "\n"


# Results


def settings(name: str) -> dict:
    return {"figure": f"{Path(name).name}.svg"} | SETTINGS.get(name, {})


def runs_here(name: str) -> bool:
    """Whether all that it imports is installed."""
    return all(importlib.util.find_spec(package) for package in NEEDS.get(name, ()))


def said(settings: dict) -> str:
    """As it is written in a call, without the figure's name."""
    return ", ".join(f"{key}={value!r}" for key, value in settings.items() if key != "figure")


def results(name: str) -> Path:
    """Where what an example printed and drew is kept."""
    parts = ((EXAMPLES / f"{name}.py").read_text("utf-8"), repr(settings(name)), version("jax"), version("ctmodels"))
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    return CACHE / f"{name.replace('/', '-')}-{digest}"


def execute(name: str) -> Path:
    """Run an example in a process and a folder of its own, unless its results are there."""
    folder = results(name)
    if (folder / "done.json").exists():
        return folder
    begun = time.monotonic()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "MPLBACKEND": "Agg"}
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, __file__, str(EXAMPLES / f"{name}.py"), repr(settings(name))]
        done = subprocess.run(command, cwd=scratch, env=environment, capture_output=True, text=True, timeout=LIMIT)
        drawn = Path(scratch) / settings(name)["figure"]
        if done.returncode or not drawn.exists():
            raise RuntimeError(f"examples/{name}.py failed in the gallery:\n{done.stdout}\n{done.stderr[-4000:]}")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / drawn.name).write_bytes(drawn.read_bytes())
        (folder / "printed.txt").write_text(done.stdout, "utf-8")
        processor = float((Path(scratch) / "processor").read_text("utf-8"))
    took = {"seconds": round(time.monotonic() - begun, 1), "processor": processor}
    (folder / "done.json").write_text(json.dumps(took), "utf-8")
    return folder


def run_main(path: str, given: str) -> None:
    """The other process: the module's main, with these settings."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look
    spec.loader.exec_module(module)
    module.main(**ast.literal_eval(given))
    Path("processor").write_text(f"{time.process_time():.1f}", "utf-8")


# Pages


def page(name: str, source: str, folder: Path) -> str:
    """Prose, figure, numbers, code; the notebook lies beside it."""
    figure, stem, shorter = settings(name)["figure"], Path(name).name, said(settings(name))
    parts = [f"{STYLE}\n# {title(name)}", prose(source)]
    link = f'<a href="../{stem}.ipynb" download>Download as a notebook</a>'
    parts += [f"{link} (runs in Colab), or copy `examples/{name}.py`."]
    if (folder / "done.json").exists():
        seconds = json.loads((folder / "done.json").read_text("utf-8"))["processor"]
        how = f"with `{shorter}`: less than the script's own settings, which reach more" if shorter else "as it stands"
        printed = (folder / "printed.txt").read_text("utf-8").rstrip()
        parts += [f"![What it draws]({figure})", f"It prints\n\n```text\n{printed}\n```"]
        parts += [f"Run when these pages were built, {how}. It took {seconds:.0f} s of a processor."]
    else:
        parts += ["Not run when these pages were built."]
    return "\n\n".join([*parts, "## Code", f"```python\n{code(source)}```"]) + "\n"


def notebook(name: str, source: str) -> str:
    """Of version 4.5: prose, the installation, a cell for the imports and for each function, and the run."""
    given, figure = said(settings(name)), settings(name)["figure"]
    cells = [("markdown", f"# {title(name)}\n\n{prose(source)}"), ("code", "%pip install -q ctmodels")]
    cells += [("code", chunk) for chunk in chunks(source)]
    call = f"numbers = main({given + ', ' if given else ''}figure={figure!r})"
    shown = "Image" if figure.endswith("png") else "SVG"
    cells += [("code", f"from IPython.display import {shown}\n\n{call}\n{shown}({figure!r})"), ("code", "numbers")]
    made = [cell(i, kind, text) for i, (kind, text) in enumerate(cells)]
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return json.dumps({"cells": made, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}, indent=1)


def cell(number: int, kind: str, text: str) -> dict:
    common = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": text.splitlines(keepends=True)}
    return common | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def chunks(source: str) -> list[str]:
    """The code without its last `if __name__`, cut before each function and class and the comment above it."""
    lines, body = source.splitlines(), ast.parse(source).body
    kept = [node for node in body[1:] if not (isinstance(node, ast.If) and "__name__" in ast.unparse(node.test))]
    defined = [node for node in kept if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    starts = [min([node.lineno, *(d.lineno for d in node.decorator_list)]) - 1 for node in defined]
    starts = [next((i + 1 for i in range(at - 1, -1, -1) if not lines[i].startswith("#")), 0) for at in starts]
    edges = [body[0].end_lineno, *starts, kept[-1].end_lineno]
    found = ["\n".join(lines[a:b]).strip() for a, b in zip(edges[:-1], edges[1:], strict=True)]
    return [chunk for chunk in found if chunk]


def cards(found: re.Match) -> str:
    """Of a block of names on the page of the gallery, a grid of cards."""
    made = []
    for name in found[1].split():
        source = (EXAMPLES / f"{name}.py").read_text("utf-8")
        said = re.split(r"(?<=[.?])\s|:\n|\n\n", prose(source))[0].replace("\n", " ")
        figure = f"gallery/{Path(name).parent.as_posix()}/{settings(name)['figure']}".replace("/./", "/")
        drawn = f"[![{title(name)}]({figure})](gallery/{name}.md)\n\n" if (results(name) / "done.json").exists() else ""
        made += [f"<div markdown>\n\n**[{title(name)}](gallery/{name}.md)**\n\n{drawn}{said}\n\n</div>"]
    return '<div class="gallery" markdown>\n\n' + "\n\n".join(made) + "\n\n</div>"


# What mkdocs calls


def on_config(config):
    """Where the pages are: below the entry of the gallery."""
    entry = {"Gallery": ["gallery.md", *({title(name): f"gallery/{name}.md"} for name in names())]}
    config.nav = [entry if item == {"Gallery": "gallery.md"} else item for item in config.nav]


def on_files(files, config):
    from mkdocs.structure.files import File

    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    if os.environ.get("CTMODELS_GALLERY") != "pages":
        with ThreadPoolExecutor(max(1, min(2, cores))) as pool:
            list(pool.map(execute, filter(runs_here, names())))
    for name in names():
        source, folder = (EXAMPLES / f"{name}.py").read_text("utf-8"), results(name)
        made = {f"{name}.md": page(name, source, folder), f"{name}.ipynb": notebook(name, source)}
        if (folder / "done.json").exists():
            figure = settings(name)["figure"]
            made[str(Path(name).parent / figure)] = (folder / figure).read_bytes()
        for path, content in made.items():
            files.append(File.generated(config, f"gallery/{path}", content=content))


def on_page_markdown(markdown, page, **_):
    if page.file.src_uri != "gallery.md":
        return markdown
    return STYLE + re.sub(r"```gallery\n(.*?)```", cards, markdown, flags=re.DOTALL)


if __name__ == "__main__":
    run_main(*sys.argv[1:])
