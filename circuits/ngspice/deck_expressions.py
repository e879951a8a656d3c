"""Expressions that ngspice takes for something else: functions of other programs, powers, braces.

Each was tried on ngspice 39; docs/engine.md has the table.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from inmateria.errors import NetlistError
from netlists.lines import Line

_CALL = re.compile(r"(?<![\w.])([a-z_]\w*)\s*\(", re.IGNORECASE)
_UNKNOWN_FUNCTIONS = {
    "if": "write (condition ? a : b)",
    "table": "write pwl(x, x1, y1, x2, y2, ...)",
    "int": "write sgn(x)*floor(abs(x)) in a source",
    "round": "write nint(x)",
    "stp": "write u(x)",
    "buf": "write u(x - 0.5)",
    "inv": "write u(0.5 - x)",
    "idt": "integrate in a capacitor: a B source of current into 1 F",
    "sdt": "integrate in a capacitor: a B source of current into 1 F",
    "idtmod": "integrate in a capacitor: a B source of current into 1 F",
    "delay": "use a lossless line: T1 a 0 b 0 Z0=50 TD=1m, and 50 Ohm at its end",
    "absdelay": "use a lossless line: T1 a 0 b 0 Z0=50 TD=1m, and 50 Ohm at its end",
    "white": "use a noise source: V1 n 0 TRNOISE(...)",
    "random": "use a noise source: V1 n 0 TRNOISE(...)",
    "rand": "use a noise source: V1 n 0 TRNOISE(...)",
    "mod": "write x - y*floor(x/y)",
    "atan2": "write atan(y/x) with the quadrant's own offset",
    "hypot": "write sqrt(x*x + y*y)",
    "pwrs": "write pwr(x, y), which keeps the sign in ngspice",
    "square": "write x*x",
}


def functions(line: Line, own: Collection[str], letters: str) -> Iterator[str]:
    """Check the functions of an expression; yields doubts.

    Parameters
    ----------
    line : Line
        Of a B, E, G, R, C or L element, or a ``.param`` or ``.func`` line.
    own : collection of str
        Functions that the deck defines itself, lower case.
    letters : str
        Of the dialect (`dialects`), empty for ngspice's own language: ``ps`` has a clamp and what PSpice has else.

    Raises
    ------
    NetlistError
        With what to write.
    """
    text = line.text
    parameter = text[:1] == "."
    for match in _CALL.finditer(text):
        name = match[1].lower()
        if name in own:
            continue
        if name in _UNKNOWN_FUNCTIONS and not parameter and not letters:
            fix = _UNKNOWN_FUNCTIONS[name]
            raise NetlistError(line.where, line.text[:200], f"ngspice has no function {name}()", fix)
        if name == "limit" and "ps" not in letters:
            if len(_arguments(text, match.end())) == 3:
                fix = "write min(max(x, low), high)"
                problem = "limit(x, low, high) is no clamp in ngspice but a random value"
                raise NetlistError(line.where, line.text[:200], problem, fix)
            yield f"{line.where}: limit(x, d) is x + d or x - d in ngspice, by chance"


def _arguments(text: str, start: int) -> list[str]:
    """Arguments of a call whose parenthesis opens before `start`."""
    depth, begin, found = 1, start, []
    for k in range(start, len(text)):
        if text[k] in "([{":
            depth += 1
        elif text[k] in ")]}":
            depth -= 1
        if depth == 0 or (depth == 1 and text[k] == ","):
            found.append(text[begin:k].strip())
            begin = k + 1
        if depth == 0:
            return found
    return [*found, text[begin:].strip()]


_POWER = re.compile(r"\*\*|\^")
_EVEN = re.compile(r"\s*(\d+)(?:\.0*)?(?![\w.])")
_POWER_CALL = re.compile(r"(?<![\w.])(pow|pwrs?)\s*\(", re.IGNORECASE)
_SIGNED = re.compile(r"(?<![\w.])[vi]\s*\(|^\s*-", re.IGNORECASE)
_ABSOLUTE = "takes the absolute value of the base"
_POSITIVE = re.compile(r"(?:abs|exp|sqrt|cosh|u|u2|uramp)$|max$", re.IGNORECASE)


def powers(line: Line, letters: str) -> Iterator[str]:
    """Doubts about powers of what may be negative: ngspice takes its absolute value, and of ``pwr`` the sign too.

    ``V(y)**3`` at -4 V is +64, ``pow(V(y), 3)`` too; of a ``.param``, ``pow`` gives -64 and ``**`` gives +64. Its
    dialects, by their letters, put some of that right: ``lt`` powers but not pwr, ``hs`` ``**`` and ``^``, ``ps`` pwr.
    47 keeps the sign of whole powers in all of them (docs/netlists.md).
    """
    text = line.text
    arguments = _formal(text)
    for match in _POWER.finditer(text) if not {"lt", "hs"} & _pairs(letters) else ():
        exponent = _EVEN.match(text, match.end())
        if exponent is not None and int(exponent[1]) % 2 == 0:
            continue
        base = _before(text, match.start())
        if _may_be_negative(base, arguments):
            yield _power_doubt(line, f"{base}{match[0]}", _ABSOLUTE)
    for match in _POWER_CALL.finditer(text):
        base, *rest = _arguments(text, match.end()) or [""]
        whole = _EVEN.fullmatch(rest[0]) if rest else None
        even = None if whole is None else int(whole[1]) % 2 == 0
        what = _misreads(match[1].lower(), even, _pairs(letters))
        if what and _may_be_negative(base, arguments):
            yield _power_doubt(line, f"{match[1]}({base}, ...)", what)


def _misreads(function: str, even: bool | None, pairs: set[str]) -> str:
    """What a dialect makes of a power of a negative number, if that is not what its own program would.

    LTspice and PSpice: pow(x, y) is a true power, pwr(x, y) is abs(x)**y, pwrs(x, y) keeps the sign of x. HSPICE's pwr
    keeps it.
    """
    if function == "pow":
        return "" if even or "lt" in pairs else _ABSOLUTE
    if function == "pwrs":
        return "drops the sign of the base" if {"lt", "ps"} <= pairs else ""
    if "hs" in pairs:
        return ""
    if "lt" in pairs:
        return "" if even and "ps" in pairs else "keeps the sign of the base"
    return "" if "ps" in pairs or even is False else "keeps the sign of the base"


def _pairs(letters: str) -> set[str]:
    return {letters[k : k + 2] for k in range(0, len(letters) - 1, 2)}


def _power_doubt(line: Line, power: str, what: str) -> str:
    ngspice = "ngspice before 47" if what == _ABSOLUTE else "ngspice"
    return f"{line.where}: '{power}' {what} in {ngspice} where that is negative; write x*x*x, or abs(x)**y, as you mean"


def _formal(text: str) -> frozenset[str]:
    """Arguments of a ``.func``: they may have any sign."""
    match = re.match(r"\.func\w*\s+\w+\s*\(([^)]*)\)", text, re.IGNORECASE)
    return frozenset() if match is None else frozenset(word.strip().lower() for word in match[1].split(","))


def _before(text: str, end: int) -> str:
    """The base of a power: the group, the call or the name that ends there."""
    k = end
    while k > 0 and text[k - 1] == " ":
        k -= 1
    stop = k
    if k > 0 and text[k - 1] in ")}":
        depth = 0
        while k > 0:
            k -= 1
            depth += (text[k] in ")}") - (text[k] in "({")
            if depth == 0:
                break
    while k > 0 and (text[k - 1].isalnum() or text[k - 1] in "_."):
        k -= 1
    return text[k:stop]


def _may_be_negative(base: str, arguments: Collection[str]) -> bool:
    name = base.partition("(")[0].strip()
    if "(" in base and _POSITIVE.search(name):
        return False
    inner = base.strip()[1:-1] if base.strip()[:1] in "({" else base
    return bool(_SIGNED.search(inner)) or any(word.lower() in arguments for word in re.findall(r"[A-Za-z_]\w*", inner))


_GROUP = re.compile(r"\{([^{}]*)\}|'([^']*)'")
_SUM = re.compile(r"(?<![eEdD(,*/^+\-\s])\s*[+-]")


def check_braces(line: Line) -> None:
    """Refuse braces that would have to group: ngspice drops those of an expression, ``{q+1}*V(p)`` is ``q+1*V(p)``.

    Raises
    ------
    NetlistError
    """
    for match in _GROUP.finditer(line.text):
        inner = _outermost(match[1] if match[1] is not None else match[2])
        before, after = line.text[: match.start()].rstrip()[-1:], line.text[match.end() :].lstrip()[:2]
        product = "*" in inner or "/" in inner
        tight = before in ("*", "/", "^") or after[:1] in ("*", "/", "^")
        added = _SUM.search(inner) is not None
        if (added and (tight or before == "-")) or (
            product and (before in ("/", "^") or after == "**" or after[:1] == "^")
        ):
            fix = f"write ({match[0][1:-1]})"
            raise NetlistError(line.where, line.text[:200], f"{match[0]} is no group: ngspice drops the braces", fix)


def _outermost(text: str) -> str:
    """An expression without what stands in parentheses."""
    before = None
    while before != text:
        before, text = text, re.sub(r"\([^()]*\)", "_", text)
    return text
