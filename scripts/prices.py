#!/usr/bin/env python3
"""Writes config/prices.json from the price data of genai-prices, cross-checked against litellm's table, which also
gives prices of tiers (batch, flex, priority) where the first has none and both agree on the standard ones.

    pip install genai-prices
    pip download --no-deps -d wheels litellm
    python3 scripts/prices.py --litellm wheels/litellm-*.whl > config/prices.json

Rates are integers, pico-USD a token: [input, cache read, cache write, cache write for an hour, output], null where
the source has none. A match is one string, a list (any of them), or {"and": […]} or {"not": …}; a string is `=` equals,
`^` starts with, `$` ends with or `~` contains, and `#` in it stands for one digit; without a sign it is the whole
name. The first model that matches counts, of a model's prices the last that is in force. `apart` names kinds of tokens that
cost something else, which is not in the table: a call with such tokens has no known cost. What cannot be translated
stops the script.
"""

import argparse
import datetime
import importlib.metadata
import json
import re
import sys
import zipfile
from decimal import Decimal

from genai_prices import types
from genai_prices.data import providers

# genai-prices' name of a provider -> ours
PROVIDERS = {
    "anthropic": "anthropic",
    "aws": "bedrock",
    "azure": "azure",
    "cerebras": "cerebras",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "fireworks": "fireworks",
    "github-copilot": "copilot",
    "google": "google",
    "groq": "groq",
    "mistral": "mistral",
    "moonshotai": "moonshot",
    "openai": "openai",
    "openrouter": "openrouter",
    "perplexity": "perplexity",
    "together": "together",
    "x-ai": "xai",
    "zai": "zai",
}
RATES = ["input_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok", "output_mtok"]
# litellm's names of the same providers
LITELLM = {"anthropic": "anthropic", "openai": "openai", "google": "gemini", "mistral": "mistral", "groq": "groq",
           "deepseek": "deepseek", "xai": "xai", "cohere": "cohere_chat", "bedrock": "bedrock"}
# litellm's keys of the same rates, and how it marks tiers
KEYS = ["input_cost_per_token", "cache_read_input_token_cost", "cache_creation_input_token_cost",
        "cache_creation_input_token_cost_above_1hr", "output_cost_per_token"]
TIERS = {"batch": "_batches", "flex": "_flex", "priority": "_priority"}
# tokens with prices of their own, as usage objects call them, and where the sources say so
APART = {"audio": "audio", "image": "image", "video": "video", "reasoning": "output_reasoning", "citation": "output_citation"}
LONG_WRITE = "cache_creation_input_token_cost_above_12hr"
NOTICE = "Prices from genai-prices (MIT, Copyright (c) Pydantic Services Inc. 2025 to present), cross-checked against litellm (MIT, Copyright (c) 2023 Berri AI). See config/NOTICE-prices."


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--litellm", required=True, help="litellm's wheel, or its price table as JSON")
    options = arguments.parse_args()
    litellm_version, theirs = litellm_table(options.litellm)
    chosen = {PROVIDERS[p.id]: p for p in providers if p.id in PROVIDERS}
    table = {name: provider(p) for name, p in sorted(chosen.items())}
    checked = cross_check(table, theirs)
    version = f"genai-prices {importlib.metadata.version('genai-prices')}"
    write(version, f"litellm {litellm_version}", checked, table)


def provider(source):
    models = [model(m) for m in source.models]
    fallback = [PROVIDERS[p] for p in source.fallback_model_providers or []]
    return {"fallback": fallback, "models": [m for m in models if m]}


def model(source):
    prices = source.prices
    if isinstance(prices, types.ModelPrice):
        prices = [types.ConditionalPrice(prices=prices)]
    standard = [p for p in (price(p.constraint, p.prices, None) for p in prices) if p]
    if not standard:
        return None
    entry = {"id": source.id, "match": match(source.match), "prices": standard}
    base = prices[-1].prices
    keys = [key for each in prices for key in each.prices._comparable_values() if key.endswith("_mtok")]
    apart = [word for word, part in APART.items() if any(part in key for key in keys)]
    if apart:
        entry["apart"] = apart
    for variant in source.price_variants or []:
        tier = variant.when.get("service_tier") or variant.when.get("processing") or variant.when.get("speed")
        if len(variant.when) == 1 and tier and tier != "default":
            special = price(variant.constraint, variant.prices, base)
            if special:
                # There the first that is in force counts, here the last.
                entry.setdefault("tiers", {}).setdefault(tier, []).insert(0, special)
    return entry


def price(constraint, prices, base):
    """One set of rates; a variant leaves out what it does not change, which `base` then gives."""
    own = [getattr(prices, key) for key in RATES]
    values = [value if value is not None or base is None else getattr(base, key) for key, value in zip(RATES, own)]
    if values[0] is None and values[4] is None:
        return None
    entry = {"rates": [pico(rate(value, None)) for value in values]}
    starts = sorted({tier.start for value in values if isinstance(value, types.TieredPrices) for tier in value.tiers})
    if starts:
        entry["over"] = [[start, [pico(rate(value, start)) for value in values]] for start in starts]
    request = getattr(prices, "requests_kcount", None)
    if request is not None:
        entry["request"] = whole(rate(request, None) * Decimal(10**9))
    if isinstance(constraint, types.StartDateConstraint):
        entry["since"] = (constraint.start_date - datetime.date(1970, 1, 1)).days
    elif isinstance(constraint, types.TimeOfDateConstraint):
        entry["minutes"] = [minute(constraint.start_time), minute(constraint.end_time)]
    return entry


def rate(value, start):
    """USD a million tokens once the input is longer than `start`."""
    if not isinstance(value, types.TieredPrices):
        return value
    over = [tier.price for tier in value.tiers if start is not None and tier.start <= start]
    return over[-1] if over else value.base


def pico(per_million):
    return None if per_million is None else whole(per_million * Decimal(10**6))


def whole(value):
    if value != value.to_integral_value():
        print(f"rounded: {value}", file=sys.stderr)
    return int(value.to_integral_value())


def minute(time):
    assert time.utcoffset() in (None, datetime.timedelta(0)), time
    return time.hour * 60 + time.minute


def match(clause):
    if isinstance(clause, types.ClauseOr):
        return [match(c) for c in clause.or_]
    if isinstance(clause, types.ClauseAnd):
        return {"and": [match(c) for c in clause.and_]}
    if isinstance(clause, types.ClauseRegex):
        return regex(clause.regex)
    for attribute, sign in (("equals", "="), ("starts_with", "^"), ("ends_with", "$"), ("contains", "~")):
        text = getattr(clause, attribute, None)
        if text is not None:
            assert "#" not in text, text
            return sign + text.lower()
    raise SystemExit(f"a match that is not understood: {clause}")


def regex(pattern):
    """The patterns in use: a date at the end, a digit after a beginning, and `no -tts`."""
    if pattern == "^(?!.*-[tT][tT][sS](?:$|-))":
        return {"not": ["$-tts", "~-tts-"]}
    text = re.sub(r"\\d\{(\d)\}", lambda m: "#" * int(m[1]), pattern.removeprefix("^").removesuffix("$"))
    text = text.replace("\\d", "#").replace("\\.", ".")
    sign = "=" if pattern.endswith("$") else "^"
    spread = [text.replace("[-@]", each) for each in "-@"] if "[-@]" in text else [text]
    if not pattern.startswith("^") or any(re.search(r"[\\\[\](){}?*+|]", each) for each in spread):
        raise SystemExit(f"a pattern that is not understood: {pattern}")
    return [sign + each for each in spread]


def litellm_table(path):
    name = "litellm/model_prices_and_context_window_backup.json"
    if path.endswith(".json"):
        with open(path, encoding="utf-8") as file:
            return "unknown", json.load(file)
    with zipfile.ZipFile(path) as wheel:
        return path.rsplit("/", 1)[-1].split("-")[1], json.loads(wheel.read(name))


def cross_check(table, theirs):
    """Compares today's input and output rates where both tables know a model by the same name."""
    compared, differ = 0, []
    for name, litellm_provider in LITELLM.items():
        for entry in table[name]["models"]:
            other = theirs.get(f"{litellm_provider}/{entry['id']}") or theirs.get(entry["id"])
            if not other or other.get("litellm_provider") != litellm_provider:
                continue
            rates = entry["prices"][-1]["rates"]
            pairs = [(rates[0], other.get("input_cost_per_token")), (rates[4], other.get("output_cost_per_token"))]
            pairs = [(a, round(b * 1e12)) for a, b in pairs if a is not None and b is not None]
            if pairs:
                compared += 1
                if any(a != b for a, b in pairs):
                    differ.append(f"{name}/{entry['id']}")
                    print(f"differs: {name}/{entry['id']}: {pairs}", file=sys.stderr)
                else:
                    add_tiers(entry, other)
                    if LONG_WRITE in other:
                        entry.setdefault("apart", []).append("ttl_12h")
    print(f"compared {compared} models, {len(differ)} differ", file=sys.stderr)
    return {"compared": compared, "differ": differ}


def add_tiers(entry, other):
    """Tiers that only litellm prices. What it leaves out is as in the standard, but a long call without a price of its
    own has none."""
    base = entry["prices"][-1]
    for tier, mark in TIERS.items():
        if tier in entry.get("tiers", {}) or KEYS[0] + mark not in other:
            continue
        special = {"rates": theirs_or(other, mark, base["rates"])}
        if "over" in base:
            special["over"] = [[start, over(other, start, mark, rates)] for start, rates in base["over"]]
        entry.setdefault("tiers", {})[tier] = [special]


def over(other, start, mark, rates):
    marked = f"_above_{start // 1000}k_tokens{mark}"
    return theirs_or(other, marked, rates) if KEYS[0] + marked in other else [None] * len(KEYS)


def theirs_or(other, mark, rates):
    return [rate if other.get(key + mark) is None else round(other[key + mark] * 1e12) for key, rate in zip(KEYS, rates)]


def write(version, against, checked, table):
    """One model a line, so that a change reads well."""
    compact = {"separators": (",", ":"), "ensure_ascii": False}
    print("{")
    print(f' "version": {json.dumps(version)},')
    print(f' "notice": {json.dumps(NOTICE)},')
    print(f' "cross_check": {json.dumps({"against": against, **checked})},')
    print(' "providers": {')
    blocks = []
    for name, entry in table.items():
        models = ",\n".join("   " + json.dumps(m, **compact) for m in entry["models"])
        blocks.append(f'  {json.dumps(name)}: {{"fallback": {json.dumps(entry["fallback"])}, "models": [\n{models}\n  ]}}')
    print(",\n".join(blocks))
    print(" }\n}")


if __name__ == "__main__":
    main()
