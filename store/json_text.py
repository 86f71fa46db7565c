"""JSON text, written by an encoder that is made once.

`json.JSONEncoder.encode` makes its encoder in C anew at every call, and that takes as long as a small text itself.
"""

import json.encoder
from collections.abc import Callable


def encoder(*, ascii_only: bool = True, sort_keys: bool = False) -> Callable[[object], str]:
    """A function that writes a value as compact JSON, members in their order or sorted.

    It raises TypeError for what JSON does not know, ValueError for NaN,
    RecursionError or ValueError for what holds itself.
    """
    documented = json.JSONEncoder(
        ensure_ascii=ascii_only, sort_keys=sort_keys, separators=(",", ":"), allow_nan=False
    )
    make = getattr(json.encoder, "c_make_encoder", None)  # not documented: None where there is none in C
    if make is None:
        return documented.encode
    quote = json.encoder.encode_basestring_ascii if ascii_only else json.encoder.encode_basestring
    pieces = make(None, documented.default, quote, None, ":", ",", sort_keys, False, False)
    return lambda value: "".join(pieces(value, 0))
