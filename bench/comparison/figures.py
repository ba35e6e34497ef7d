"""What many measurements of one thing come to."""


def median(values):
    """The middle one; of an even number the mean of the two in the middle."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values have no median")
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def percentile(values, percent):
    """By the nearest rank: the least value that `percent` of all do not exceed."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values have no percentile")
    rank = -(-len(ordered) * round(percent * 1000) // 100_000)  # in whole numbers: 99.9 % of 1,000 is 999 and not a bit more
    return ordered[max(1, rank) - 1]


def geometric_mean(values):
    product = 1.0
    for v in values:
        product *= v ** (1 / len(values))
    return product


def summary(values):
    return {"median": median(values), "least": min(values), "most": max(values), "count": len(values)}
