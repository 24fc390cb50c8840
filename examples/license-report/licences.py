"""Tells a licence from what a distribution says about itself. Reads no files.

Evidence is asked in the order of how exact it is: an SPDX expression, a licence field that is one,
classifiers, the words of the licence field, the text of licence files.
What is not known stays unknown, with the reason.

Sources: https://spdx.org/licenses/, https://peps.python.org/pep-0639/
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

FAMILIES = ("public domain", "permissive", "weak copyleft", "strong copyleft", "proprietary", "unknown")
"""Families of licences from the one that asks for least to the one that asks for most."""
UNKNOWN = "unknown"

_BY_FAMILY = {
    "public domain": "0BSD CC0-1.0 MIT-0 Unlicense WTFPL CC-PDDC public-domain",
    "permissive": (
        "AFL-2.1 AFL-3.0 Apache Apache-1.1 Apache-2.0 Artistic-2.0 BSD BSD-1-Clause BSD-2-Clause BSD-3-Clause"
        " BSD-4-Clause BSL-1.0 BlueOak-1.0.0 CC-BY-3.0 CC-BY-4.0 CNRI-Python HPND ISC MIT MIT-CMU NCSA"
        " MulanPSL-2.0 NIST-PD OFL-1.1 OpenSSL PSF-2.0 PostgreSQL Python-2.0 Python-2.0.1 UPL-1.0 W3C X11"
        " Unicode-3.0 Unicode-DFS-2016 ZPL-2.0 ZPL-2.1 Zlib bzip2-1.0.6 curl libtiff"
    ),
    "weak copyleft": (
        "Artistic-1.0 CDDL-1.0 CDDL-1.1 CECILL-C EPL-1.0 EPL-2.0 LGPL LGPL-2.0 LGPL-2.1 LGPL-3.0 MPL-1.1"
        " MPL-2.0 MS-RL"
    ),
    "strong copyleft": (
        "AGPL AGPL-1.0 AGPL-3.0 CC-BY-SA-4.0 CECILL-2.1 EUPL-1.1 EUPL-1.2 GPL GPL-1.0 GPL-2.0 GPL-3.0 OSL-3.0"
        " SSPL-1.0"
    ),
}
_FAMILY = {name.lower(): family for family, names in _BY_FAMILY.items() for name in names.split()}
_NAME = {name.lower(): name for names in _BY_FAMILY.values() for name in names.split()}
_LINKING = {"classpath-exception-2.0", "gcc-exception-3.1", "bootloader-exception", "font-exception-2.0"}
"""Exceptions that make of a strong copyleft a weak one."""

_CLASSIFIERS = {
    "Academic Free License (AFL)": "AFL-3.0",
    "Apache Software License": "Apache-2.0",
    "Artistic License": "Artistic-2.0",
    "BSD License": "BSD",
    "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": "CC0-1.0",
    "Eclipse Public License 1.0 (EPL-1.0)": "EPL-1.0",
    "Eclipse Public License 2.0 (EPL-2.0)": "EPL-2.0",
    "European Union Public Licence 1.2 (EUPL 1.2)": "EUPL-1.2",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
    "GNU General Public License (GPL)": "GPL",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v2 (LGPLv2)": "LGPL-2.1-only",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.1-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "GNU Library or Lesser General Public License (LGPL)": "LGPL",
    "Historical Permission Notice and Disclaimer (HPND)": "HPND",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 1.1 (MPL 1.1)": "MPL-1.1",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Public Domain": "public-domain",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "Universal Permissive License (UPL)": "UPL-1.0",
    "University of Illinois/NCSA Open Source License": "NCSA",
    "W3C License": "W3C",
    "Zope Public License": "ZPL-2.1",
    "zlib/libpng License": "Zlib",
}
"""What a classifier means, where it names one licence."""

_WORDS: tuple[tuple[str, str], ...] = (
    (r"\bagpl|affero general public", "AGPL"),
    (r"\blgpl|(?:lesser|library) general public", "LGPL"),
    (r"\bgpl|gnu general public", "GPL"),
    (r"\bmpl\b|mozilla public", "MPL-2.0"),
    (r"\bapache", "Apache-2.0"),
    (r"\bbsd", "BSD"),
    (r"\bmit\b|\bexpat\b", "MIT"),
    (r"\bisc\b|\biscl\b", "ISC"),
    (r"python software foundation|\bpsf", "PSF-2.0"),
    (r"\bzpl|zope public", "ZPL-2.1"),
    (r"\bzlib\b", "Zlib"),
    (r"\bunlicense", "Unlicense"),
    (r"\bcc0\b", "CC0-1.0"),
    (r"public domain", "public-domain"),
    (r"\bhpnd\b", "HPND"),
    (r"\bepl\b|eclipse public", "EPL-2.0"),
    (r"\bproprietary\b|all rights reserved\.?$", "proprietary"),
)
_GNU = {"GPL": ("2.0", "3.0"), "LGPL": ("2.0", "2.1", "3.0"), "AGPL": ("3.0",)}

_PHRASES: tuple[tuple[str, str], ...] = (
    ("gnu affero general public license", "AGPL-3.0"),
    ("gnu lesser general public license", "LGPL"),
    ("gnu general public license", "GPL"),
    ("mozilla public license version 2.0", "MPL-2.0"),
    ("apache license version 2.0", "Apache-2.0"),
    ("python software foundation license version 2", "PSF-2.0"),
    ("permission is hereby granted, free of charge, to any person obtaining a copy", "MIT"),
    ("permission to use, copy, modify, and/or distribute this software for any purpose", "ISC"),
    ("permission to use, copy, modify, and distribute this software for any purpose", "ISC"),
    ("redistribution and use in source and binary forms", "BSD"),
    ("this is free and unencumbered software released into the public domain", "Unlicense"),
)
"""Words that only one licence's own text has in its first lines."""
_HEAD = 1500
"""Characters of a licence file that name it; further down others are mentioned."""


@dataclass(frozen=True)
class Evidence:
    """What a distribution says that may tell its licence."""

    expression: str = ""
    classifiers: tuple[str, ...] = ()
    field: str = ""
    files: tuple[str, ...] = ()
    problem: str = ""
    """Why there is nothing to go by; empty if there is."""


@dataclass(frozen=True)
class Licence:
    """The answer: an SPDX expression as far as that is possible, its family, and how it was found."""

    licence: str
    family: str
    source: str
    reason: str = ""
    """Why it is unknown; else empty."""

    def as_dict(self) -> dict[str, str]:
        """As JSON."""
        return asdict(self)


def classify(evidence: Evidence) -> Licence:
    """Find the licence; of several that are named without saying how they relate, all count as asked for."""
    if evidence.problem:
        return Licence(UNKNOWN, UNKNOWN, "", evidence.problem)
    tried: list[str] = []
    for source, found in _witnesses(evidence):
        name = found()
        if name is None:
            continue
        family = family_of(name)
        if family != UNKNOWN:
            return Licence(name, family, source)
        tried.append(f'{source} says "{name}"')
    known = "; ".join(tried) or f'"{_short(evidence.field)}" names no licence that is known'
    nothing = not tried and not evidence.field
    return Licence(UNKNOWN, UNKNOWN, "", "it does not name a licence anywhere" if nothing else known)


def family_of(expression: str) -> str:
    """The family of an SPDX expression: of `A AND B` the stricter, of `A OR B` the other.

    Unknown if a part that counts is not in the table, or if it is no expression.
    """
    tokens = re.findall(r"\(|\)|[^\s()]+", expression)
    try:
        rank = _any_of(tokens)
    except (IndexError, ValueError):
        return UNKNOWN
    return UNKNOWN if tokens else FAMILIES[rank]


def _any_of(tokens: list[str]) -> int:
    rank = _all_of(tokens)
    while tokens and tokens[0].upper() == "OR":
        tokens.pop(0)
        rank = min(rank, _all_of(tokens))
    return rank


def _all_of(tokens: list[str]) -> int:
    rank = _one_of(tokens)
    while tokens and tokens[0].upper() == "AND":
        tokens.pop(0)
        rank = max(rank, _one_of(tokens))
    return rank


def _one_of(tokens: list[str]) -> int:
    token = tokens.pop(0)
    if token == "(":  # noqa: S105 - a bracket, no password
        rank = _any_of(tokens)
        if tokens.pop(0) != ")":
            raise ValueError("a bracket is not closed")
        return rank
    family = _family_of_one(token)
    if tokens and tokens[0].upper() == "WITH":
        tokens.pop(0)
        exception = tokens.pop(0)
        if family == "strong copyleft" and exception.lower() in _LINKING:
            family = "weak copyleft"
    return FAMILIES.index(family)


def _family_of_one(name: str) -> str:
    plain = re.sub(r"(?:-only|-or-later|\+)$", "", name.lower())
    if plain in ("proprietary", "licenseref-proprietary"):
        return "proprietary"
    return _FAMILY.get(plain, UNKNOWN)


def _witnesses(evidence: Evidence) -> Iterable[tuple[str, Callable[[], str | None]]]:
    """Who is asked, in turn; None for an answer that is no answer."""
    yield "License-Expression", lambda: evidence.expression or None
    yield "License", lambda: _as_expression(evidence.field)
    yield "Classifier", lambda: _from_classifiers(evidence.classifiers)
    yield "License", lambda: _from_words(evidence.field)
    yield "licence file", lambda: _from_files(evidence.files)


def _as_expression(text: str) -> str | None:
    """The text, if it is an expression all of whose parts are known."""
    if family_of(text) == UNKNOWN:
        return None
    return " ".join(_NAME.get(word.lower(), word) for word in text.split())


def _from_classifiers(classifiers: Iterable[str]) -> str | None:
    last = [line.rpartition(" :: ")[2].strip() for line in classifiers if line.startswith("License ::")]
    names = [_CLASSIFIERS[text] for text in last if text in _CLASSIFIERS]
    names += ["proprietary" for text in last if text == "Other/Proprietary License"]
    return _joined(names)


def _from_words(text: str) -> str | None:
    """Names of licences in free text; of a whole licence in the field its own text tells more."""
    if text.count("\n") > 3:
        return _from_files((text,))
    plain = " ".join(text.lower().split())
    names = [_with_version(name, plain) for pattern, name in _WORDS if re.search(pattern, plain)]
    return _joined(names)


def _with_version(name: str, text: str) -> str:
    """Add the version to the name of a GNU licence, if the text tells it."""
    for version in _GNU.get(name, ()):
        short = re.escape(version.removesuffix(".0"))
        if re.search(rf"(?:gpl|licen[cs]e|version)[\s,v-]*(?:version )?{short}(?![.\d]*[1-9])", text):
            later = re.search(r"\+|or[ -](?:any )?(?:later|newer|greater)", text)
            return f"{name}-{version}-{'or-later' if later else 'only'}"
    return name


def _from_files(texts: Iterable[str]) -> str | None:
    found = []
    for text in texts:
        head = " ".join(re.sub(r"[,;\"'*#=]", " ", text[: _HEAD * 2].lower()).split())[:_HEAD]
        # Commas went above, since licences differ in them; the phrases lose theirs in the same way.
        names = [name for phrase, name in _PHRASES if " ".join(phrase.replace(",", " ").split()) in head]
        found += names[:1]
    return _joined(found)


def _joined(names: Iterable[str]) -> str | None:
    return " AND ".join(dict.fromkeys(names)) or None


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= 60 else plain[:57] + "..."
