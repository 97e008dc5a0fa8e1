"""Names that people try who know other libraries, and the line to write in their place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NoReturn

from nif.core.errors import nearest

FRAMES = "flow.importance(), flow.neurons() and flow.edges() are data frames"
SAVED = "write flow.save('flow.safetensors'), or flow.report('flow.html') for a page"
OF_FEATURES = "write flow.importance(); its index has the names"
OF_CLASSES = "write flow.attribution(); its columns have the names"

OF_PACKAGE = {
    **dict.fromkeys(
        ("analyze", "analyse", "run", "fit", "measure_flow", "flow", "measures", "pipeline"),
        "nif.measure(model, x)",
    ),
    **dict.fromkeys(
        ("explain", "attribution", "attributions", "importance", "feature_importance"),
        "nif.measure(model, x).importance()",
    ),
    **dict.fromkeys(("plot", "show", "draw"), "flow.plot(), or nif.plots.sankey(flow)"),
    "sankey": "nif.plots.sankey(flow)",
    "report": "flow.report('flow.html')",
    "summary": "print(flow.summary())",
    "save": "flow.save('flow.safetensors')",
    "shap": "flow.to_shap(), or nif.compare(model, flow, x, y, methods='shap')",
    "watch": "nif.Watch(model, x, every=5)",
    **dict.fromkeys(("pruned", "pruning"), "nif.prune(model, flow, x, y)"),
    "comparison": "nif.compare(model, flow, x, y)",
    "network": "nif.layers(model, x)",
    "plots": "nif.plots.sankey(flow), or flow.plot()",
    **dict.fromkeys(("mutual_information", "mi", "MI", "mutual_info", "estimators"), "nif.estimate(x, y)"),
}
"""Of nif: what to write in place of a name that it does not have."""

OF_FLOW = {
    **dict.fromkeys(("to_dataframe", "to_pandas", "df", "frame", "values"), FRAMES),
    "to_csv": "write flow.importance().to_csv(path), and so for flow.neurons() and flow.edges()",
    "to_json": "flow.importance().to_json() and others of pandas write tables",
    **dict.fromkeys(("describe", "info", "print_summary"), "write print(flow.summary())"),
    **dict.fromkeys(("features", "feature_importances_", "scores", "importances"), "write flow.importance()"),
    **dict.fromkeys(("top_features", "feature_names"), OF_FEATURES),
    **dict.fromkeys(("classes", "class_names", "labels"), OF_CLASSES),
    **dict.fromkeys(("strongest", "top"), "write flow.edges(top=10) or flow.paths(k=10)"),
    **dict.fromkeys(("betweenness", "units", "nodes"), "it is a column of flow.neurons()"),
    **dict.fromkeys(("nats", "stderr", "p_values"), "write flow.total, or flow.edges() for links"),
    **dict.fromkeys(("dead_neurons", "dead", "unused"), "write flow.silent()"),
    **dict.fromkeys(("to_html", "save_html"), "flow.report('flow.html') writes a page"),
    **dict.fromkeys(("write", "export", "to_file"), SAVED),
    "sankey": "write nif.plots.sankey(flow)",
    "heatmap": "write nif.plots.links(flow)",
    "prune": "write nif.prune(model, flow, x, y)",
    "compare": "write nif.compare(model, flow, x, y)",
    "explain": "write flow.local(row), for rows of nif.measure(..., explain=rows)",
    "shap_values": "flow.to_shap() is an Explanation of shap",
    "model": "a flow keeps numbers only, not the network",
}

OF_PRUNED = {
    **dict.fromkeys(
        ("state_dict", "parameters", "eval", "train", "forward", "predict", "to"),
        "the smaller network is small.model",
    ),
    **dict.fromkeys(("summary", "describe", "info"), "write print(small)"),
    **dict.fromkeys(("accuracy", "scores"), "write small.score_before, small.score_after or small.table()"),
    **dict.fromkeys(("report", "show"), "write flow.report('flow.html', pruned=small)"),
    "units": "write small.removed",
}

OF_WATCH = {
    **dict.fromkeys(("measure", "update", "log"), "write watch.step(epoch)"),
    **dict.fromkeys(("history", "epochs", "results"), "watch.flows has the flow of each epoch"),
    **dict.fromkeys(
        ("total", "totals"), "write {epoch: float(flow.total) for epoch, flow in watch.flows.items()}"
    ),
    **dict.fromkeys(
        ("importance", "shares", "attribution", "edges", "paths", "summary"),
        "it is of one epoch: watch.flows[epoch] is a flow",
    ),
    **dict.fromkeys(("save", "to_csv", "to_dataframe"), "write watch.table() or watch.report(path)"),
}

ARGUMENTS_OF_WATCH = {
    **dict.fromkeys(("labels", "y"), "labels come with the data: nif.Watch(model, (x, y))."),
    **dict.fromkeys(("rows", "n_samples"), "pass max_samples=1000, or nif.Currents(rows=128) as method."),
    **dict.fromkeys(("names", "features", "columns"), "pass feature_names=, one for each input."),
    **dict.fromkeys(("epochs", "interval", "frequency"), "pass every=5, or the epochs themselves."),
}
"""What to write in place of arguments that `nif.Watch` does not have."""


def no_attribute(what: str, name: str, guesses: Mapping[str, str], owner: object) -> NoReturn:
    """Raise the error for an attribute that does not exist, with the line to write or the nearest name.

    Example:
        >>> no_attribute("A flow", "nodes", OF_FLOW, object())
        Traceback (most recent call last):
        AttributeError: A flow has no 'nodes'; it is a column of flow.neurons().
        >>> no_attribute("A list", "apend", {}, [])
        Traceback (most recent call last):
        AttributeError: A list has no 'apend'. Did you mean 'append'?
    """
    public = [each for each in dir(owner) if not each.startswith("_")]
    said = f"; {guesses[name]}." if name in guesses else f".{nearest(name, public, 0.7)}"
    raise AttributeError(f"{what} has no {name!r}{said}", name=name, obj=owner)


def no_package_attribute(name: str, public: Iterable[str]) -> NoReturn:
    """The same for a name of nif itself.

    Example:
        >>> no_package_attribute("report", [])
        Traceback (most recent call last):
        AttributeError: nif has no 'report'; write flow.report('flow.html').
    """
    said = f"; write {OF_PACKAGE[name]}." if name in OF_PACKAGE else f".{nearest(name, public, 0.7)}"
    raise AttributeError(f"nif has no {name!r}{said}", name=name)


def no_function(module: str) -> NoReturn:
    """Raise the error for a call of a module of nif, whose name is taken for that of a function.

    Example:
        >>> no_function("nif.report")
        Traceback (most recent call last):
        TypeError: nif.report is a module, not a function; write flow.report('flow.html').
    """
    name = module.removeprefix("nif.")
    said = f"write {OF_PACKAGE[name]}" if name in OF_PACKAGE else "help(nif) lists the functions"
    raise TypeError(f"{module} is a module, not a function; {said}.")
