"""Groups of a netCDF or HDF5 file as one: the variable `x` of the group `sensor` is `sensor/x`."""

from collections.abc import Mapping
from typing import Any


def joined(xarray: Any, parts: Mapping[str, Any]) -> Any:
    """One dataset of the datasets of all groups, by path. Nothing is read.

    A dimension of a group is that of the group above where that has one of its name and length.
    """
    if len(parts) == 1:
        return next(iter(parts.values()))
    sizes: dict[str, int] = {}
    variables, coordinates = {}, []
    for path, part in sorted(parts.items(), key=lambda item: item[0].count("/") if item[0] != "/" else -1):
        at = path.strip("/")
        dims = {str(d): _inherited(str(d), n, at, sizes) for d, n in part.sizes.items()}
        sizes |= {dims[str(d)]: n for d, n in part.sizes.items()}
        for name, variable in part.variables.items():
            moved = variable.to_base_variable()
            moved.dims = tuple(dims[str(d)] for d in variable.dims)
            variables[_under(at, str(name))] = moved
        coordinates += [_under(at, str(name)) for name in part.coords]
    whole = xarray.Dataset(variables).set_coords(coordinates)
    whole.set_close(lambda: [part.close() for part in parts.values()])
    return whole


def _under(at: str, name: str) -> str:
    return f"{at}/{name}" if at else name


def _inherited(dim: str, size: int, at: str, sizes: Mapping[str, int]) -> str:
    """The name of a dimension: that of the nearest group above which has it, else the group's own."""
    above = at
    while above:
        above = above.rpartition("/")[0]
        if sizes.get(_under(above, dim)) == size:
            return _under(above, dim)
    return _under(at, dim)
