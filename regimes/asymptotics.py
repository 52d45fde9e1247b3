"""Power-law asymptotics in closed form: every exponent, its amplitude and the reason for it.

Kernel lambda_i = i^-(1+alpha) and target v_i^2 = i^-(1+beta), alpha and beta positive. With p = 1 + alpha,

    df1(g) -> u g^(-1/p),    u = (pi/p)/sin(pi/p),    hence gamma(m) -> (u/m)^p where df1(gamma) = m,

and df2 -> (alpha/p) df1. Two powers of the share s = g/(lambda+g) that is not learnt occur in the loss, and both
are Beta integrals:

    sum v^2 s^j -> g^(beta/p) Gamma(j - beta/p) Gamma(beta/p) / (p Gamma(j))      for beta < j p,
                -> g^j ln(1/g)/p                                                  at beta = j p,
                -> g^j zeta(1 + beta - j p)                                       for beta > j p.

j = 1 is the loss of a projection on k features (`width`), j = 2 the bias of kernel ridge regression (`data`):
that is why width saturates at 1+alpha and data at 2(1+alpha). Losses include the label noise; "excess" is the
loss less the noise. `ridge` multiplies the identity that is added to the Gram matrix K, not to K/n.

Source: Bahri et al. 2021 (arXiv:2102.06701); Cui et al. 2021 (arXiv:2105.15004); Simon et al. 2023
(arXiv:2311.14646); Bordelon et al. 2024 (arXiv:2402.01092); Paquette et al. 2024 (arXiv:2405.15074); Defilippis
et al. 2024 (arXiv:2405.15699). Amplitudes are derived here from the deterministic equivalent.

Valid when n, k and t are large and the spectrum is infinite (no last mode); each `Rate` says more.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize, special

from regimes import _checks, display, frontiers
from regimes.results import Values


@display.shown
@dataclasses.dataclass(frozen=True)
class Rate:
    """One power law: quantity -> amplitude at^-exponent, times ln(at) if `logarithm`."""

    regime: str
    """Its name in a few words."""
    quantity: str
    """What follows the law, in symbols."""
    along: str
    """The variable: "n", "k", "t", "C" (compute), "|n-k|" or "ridge"."""
    exponent: float
    """Positive where the quantity falls, negative where it grows."""
    amplitude: float
    """The prefactor; NaN where the theory gives the exponent only."""
    logarithm: bool
    """Whether a factor ln(at) comes on top: two power laws coincide."""
    reason: str
    """Why, in words."""
    valid: str
    """Where it holds."""
    correction: float = math.nan
    """The law is off by a relative amount of order at^-correction (0: only 1/ln(at)); NaN where not derived."""

    def predict(self, at: Any) -> Values:
        """The value of the law at `at`; NaN where the amplitude is unknown."""
        at = np.asarray(at, dtype=np.float64)
        return (self.amplitude * at**-self.exponent * (np.log(at) if self.logarithm else 1.0))[()]

    def __str__(self) -> str:
        amplitude = "" if math.isnan(self.amplitude) else f"{self.amplitude:.4g} "
        logarithm = f" ln({self.along})" if self.logarithm else ""
        law = f"({self.along})^{-self.exponent:.4g}" if len(self.along) > 1 else f"{self.along}^{-self.exponent:.4g}"
        return f"{self.regime}: {self.quantity} ~ {amplitude}{law}{logarithm}: {self.reason} [{self.valid}]"


class _Law(NamedTuple):
    """amplitude x^-exponent, times |ln x| if `logarithm`, up to a relative x^-correction; x -> infinity or 1/x -> 0."""

    exponent: float
    amplitude: float = math.nan
    logarithm: bool = False
    correction: float = math.nan


def spectral_constant(alpha: float) -> float:
    """The constant u = (pi/(1+alpha))/sin(pi/(1+alpha)) of df1(gamma) -> u gamma^(-1/(1+alpha)).

    Raises:
        ValueError: alpha not positive.
    """
    alpha = _checks.number("alpha", alpha, low=0, strict=True)
    x = math.pi / (1 + alpha)
    return x / math.sin(min(x, alpha * x))  # sin(x) = sin(pi - x): the smaller of the two keeps its digits


def gamma(m: Any, alpha: float) -> Values:
    """The implicit regularisation without ridge, (u/m)^(1+alpha): where df1(gamma) = m = min(n, k).

    Args:
        m: numbers of samples or features, whichever is smaller, positive.
        alpha: decay of the kernel spectrum, positive.

    Raises:
        ValueError: m or alpha not positive.

    Valid when m is large: the exact gamma has m + 1/2 in place of m, up to terms of order m^-(1+alpha).
    """
    sizes = _checks.finite_array("m", m)
    if sizes.min() <= 0:
        raise ValueError(f"`m` must be positive, got {sizes.min():g}.")
    with np.errstate(over="ignore"):
        return ((spectral_constant(alpha) / sizes) ** (1 + alpha))[()]


def rates(alpha: float, beta: float | None = None, *, noise: float = 0.0, ridge: float = 0.0) -> tuple[Rate, ...]:
    """Every law that applies to a kernel lambda_i = i^-(1+alpha) and a target v_i^2 = i^-(1+beta).

    Resolution and variance in n and in k, the interpolation peak, the noise plateau, bias and noise with the ridge
    held, the best ridge, time, time with finite width, where width and time stop being equivalent, the smallest
    adequate width, and the compute-optimal frontiers. Rows about noise appear only where there is noise, those about
    a ridge that is held only where there is one; `Rate.valid` says from which n on ridge and noise rule. An amplitude
    that is too large or too small for a float is inf or 0.

    Args:
        alpha: decay of the kernel spectrum, positive.
        beta: decay of the target power, positive; None means beta = alpha, the kernel's own prior.
        noise: variance of the label noise, not negative.
        ridge: added to the diagonal of the Gram matrix and held fixed as n grows, not negative.

    Raises:
        ValueError: alpha or beta not positive, a negative noise or ridge.
    """
    alpha, beta, noise = _parameters(alpha, beta, noise)
    ridge = _checks.number("ridge", ridge, low=0)
    rows = _resolution(alpha, beta) + _variance(noise) + _time(alpha, beta) + _widths(alpha, beta, noise)
    if noise > 0:
        rows += _noisy(alpha, beta, noise)
    if ridge > 0:
        rows += _held(alpha, beta, noise, ridge)
    rows += [_along_compute(alpha, beta, noise, method) for method in frontiers.METHODS]
    return tuple(rows)


def ridge_rates(
    alpha: float, beta: float | None = None, *, decay: float, strength: float = 1.0, noise: float = 0.0
) -> tuple[Rate, ...]:
    """Kernel ridge regression with ridge/n = strength n^-decay: the terms of the excess loss, slowest first.

    The first governs at large n. Four regions: with decay >= 1+alpha the ridge is no larger than gamma(n) and does
    not matter (unregularised), below it does; and either the bias or the noise is larger. The two terms cross where
    decay = (1+alpha)/(1+b), b = min(beta, 2(1+alpha)), which is the best decay with noise.

    Args:
        alpha: decay of the kernel spectrum, positive.
        beta: decay of the target power, positive; None means beta = alpha.
        decay: the exponent l of ridge/n ~ n^-l, positive; a ridge held fixed has decay 1.
        strength: ridge/n at n = 1, positive.
        noise: variance of the label noise, not negative; without noise there is one term.

    Raises:
        ValueError: alpha, beta, decay or strength not positive, a negative noise.

    Source: Cui et al. 2021 (arXiv:2105.15004); amplitudes derived here.

    Valid when the number of features is infinite.
    """
    alpha, beta, noise = _parameters(alpha, beta, noise)
    decay = _checks.number("decay", decay, low=0, strict=True)
    strength = _checks.number("strength", strength, low=0, strict=True)
    p, u, law = 1 + alpha, spectral_constant(alpha), _unlearnt(alpha, beta, 2)
    at_edge = math.isclose(decay, p)
    # kappa -> scale n^-fall and df1/n -> filled, where kappa (1 - df1/n) = ridge/n.
    if decay < p and not at_edge:
        words, scale, fall, filled, settles = "regularised", strength, decay, 0.0, 1 - decay / p
        reason = "the ridge keeps modes with lambda < ridge/n from being learnt"
        noisy = _Law(settles, noise * alpha / p * u * _power(strength, -1 / p), False, min(settles, decay / p))
        noisy_reason = "the df2 ~ (ridge/n)^(-1/(1+alpha)) modes learnt are each known only to noise/n"
    else:
        filled = _filled(alpha, strength) if at_edge else 1.0
        words, scale, fall, settles = "unregularised", _power(u / filled, p), p, 1.0 if at_edge else min(decay - p, 1.0)
        reason = "the samples alone decide which modes are learnt"
        noisy = _Law(0.0, noise * filled * alpha / (1 + alpha * (1 - filled)), False, settles)
        noisy_reason = "as many modes are learnt as there are samples, so a fixed share of the noise is fitted"
    amplitude = (
        law.amplitude * _power(scale, -law.exponent) * (fall if law.logarithm else 1.0) * p / (1 + alpha * (1 - filled))
    )
    correction = 0.0 if law.logarithm else min(settles, fall * law.correction)
    if law.exponent == -2:
        reason += "; the target is smoother than the kernel can follow"
    where = f"L(n, inf) at ridge/n = {strength:.4g} n^{-decay:.4g}"
    valid = f"decay {'<' if words == 'regularised' else '>='} 1+alpha = {p:.4g}; infinite width"
    bias = _Law(-fall * law.exponent, amplitude, law.logarithm, correction)
    terms = [_rate((f"noiseless, {words}", f"bias of {where}", "n"), bias, reason, valid)]
    if noise > 0:
        terms.append(
            _rate((f"noisy, {words}", f"noise part of the excess of {where}", "n"), noisy, noisy_reason, valid)
        )
    return tuple(sorted(terms, key=lambda rate: rate.exponent))


def ridge_crossover(alpha: float, ridge: float) -> float:
    """Number of samples beyond which a ridge held fixed limits the loss: ridge/n = gamma(n) = (u/n)^(1+alpha).

    n = (u^(1+alpha)/ridge)^(1/alpha), infinite where that overflows: with fewer samples the kernel behaves as without
    ridge.

    Args:
        alpha: decay of the kernel spectrum, positive.
        ridge: added to the diagonal of the Gram matrix, positive.

    Raises:
        ValueError: alpha or ridge not positive.
    """
    ridge = _checks.number("ridge", ridge, low=0, strict=True)
    return _exp(((1 + alpha) * math.log(spectral_constant(alpha)) - math.log(ridge)) / alpha)


def noise_crossover(alpha: float, beta: float | None = None, *, noise: float, tuned: bool = False) -> float:
    """Number of samples beyond which the noise, not the resolution of the target, sets the excess loss.

    Without ridge: where the plateau noise alpha equals the noiseless loss A n^-b, b = min(beta, 2(1+alpha)). With
    the best ridge: where the laws A n^-b and A' n^(-b/(1+b)) of the two sides meet. Both scale as noise^(-1/b), and
    so do the sizes with the logarithm at beta = 2(1+alpha), up to that logarithm. Infinite where that overflows.

    Args:
        alpha: decay of the kernel spectrum, positive.
        beta: decay of the target power, positive; None means beta = alpha.
        noise: variance of the label noise, positive.
        tuned: whether the ridge is the best one at every n (not at beta = 2(1+alpha), whose law has no amplitude).

    Raises:
        ValueError: alpha, beta or noise not positive; noise so large that it dominates at every n >= 1; `tuned` at
            beta = 2(1+alpha).

    Valid when the answer is large.
    """
    alpha, beta, noise = _parameters(alpha, beta, noise)
    _checks.number("noise", noise, low=0, strict=True)
    clean = _resolution(alpha, beta)[0]
    if tuned and clean.logarithm:
        raise ValueError("`tuned` has no amplitude at beta = 2(1+alpha); move beta a little off that value.")
    found = _meeting(clean, _tuned(alpha, beta, noise)[0] if tuned else _Law(0.0, alpha * noise))
    if found < 0:
        raise ValueError(f"`noise` dominates at every n: {noise:g} is too large for a crossover.")
    return _exp(found)


def ridge_derivative(alpha: float, beta: float | None = None, *, noise: float, bias: float) -> float:
    """Derivative d ln L/d ln kappa of kernel ridge regression at ridge 0: [b B/(B + noise) - alpha]/(1+alpha).

    b = min(beta, 2(1+alpha)): as the ridge grows from 0, the bias B = sum v^2 kappa^2/(lambda+kappa)^2 ~
    kappa^(b/(1+alpha)) grows, and the inflation n/(n - df2) by overfitting falls.

    Args:
        alpha: decay of the kernel spectrum, positive.
        beta: decay of the target power, positive; None means beta = alpha.
        noise: variance of the label noise, not negative.
        bias: B at the given n, positive: without noise, L(n, inf) = (1+alpha) B.

    Raises:
        ValueError: alpha, beta or bias not positive, a negative noise.

    Valid when n is large and k infinite; slowly reached near beta = 2(1+alpha).
    """
    alpha, beta, noise = _parameters(alpha, beta, noise)
    bias = _checks.number("bias", bias, low=0, strict=True)
    return (min(beta, 2 * (1 + alpha)) * bias / (bias + noise) - alpha) / (1 + alpha)


def interpolation_is_optimal(alpha: float, beta: float | None = None, *, noise: float, bias: float) -> bool:
    """Whether no positive ridge improves on none: noise/B <= b/alpha - 1, b = min(beta, 2(1+alpha)).

    The sign of [ridge_derivative][regimes.asymptotics.ridge_derivative], with the same arguments. Without noise
    the threshold beta = alpha is the kernel's own prior, for which ridge 0 is Bayes-optimal.

    Raises:
        ValueError: as for `ridge_derivative`.

    Source: derived here; Simon et al. 2023 for the theorem in terms of the fitting ratio.

    Valid when n is large and k infinite.
    """
    return ridge_derivative(alpha, beta, noise=noise, bias=bias) >= 0


def _parameters(alpha: float, beta: float | None, noise: float) -> tuple[float, float, float]:
    alpha = _checks.number("alpha", alpha, low=0, strict=True)
    beta = alpha if beta is None else _checks.number("beta", beta, low=0, strict=True)
    return alpha, beta, _checks.number("noise", noise, low=0)


def _rate(head: tuple[str, str, str], law: _Law, reason: str, valid: str) -> Rate:
    return Rate(*head, law.exponent, law.amplitude, law.logarithm, reason, valid, law.correction)


def _unlearnt(alpha: float, beta: float, order: int) -> _Law:
    """sum_i v_i^2 [g/(lambda_i+g)]^order at small g: an exponent -e is g^e, and a correction c is g^c."""
    p = 1 + alpha
    r = beta / p
    if math.isclose(r, order):
        return _Law(-float(order), 1 / p, True, 0.0)
    if r < order:
        # Gamma(r)/p = Gamma(1 + r)/beta, and Gamma(j) = 1 for j = 1, 2.
        return _Law(-r, math.gamma(order - r) * math.gamma(1 + r) / beta, False, order - r)
    return _Law(-float(order), float(special.zeta(1 + beta - order * p)), False, min(r - order, 1.0))


def _at_size(alpha: float, beta: float, order: int) -> _Law:
    """The same sum at g = gamma(m) = (u/m)^(1+alpha), as a law in m; gamma(m) itself is off by a relative 1/m."""
    p, law = 1 + alpha, _unlearnt(alpha, beta, order)
    amplitude = law.amplitude * _power(spectral_constant(alpha), -p * law.exponent) * (p if law.logarithm else 1.0)
    return _Law(-p * law.exponent, amplitude, law.logarithm, min(1.0, p * law.correction))


def _filled(alpha: float, strength: float) -> float:
    """The root y of (u/y)^p (1 - y) = strength: df1/n where ridge/n = strength n^-p, p = 1 + alpha."""
    goal = math.log(strength) - (1 + alpha) * math.log(spectral_constant(alpha))
    if goal < -700:
        return 1.0
    # In w = ln(1/y - 1): ln((1 - y)/y^p) is at least w, and exceeds it by at most alpha (max(w, 0) + ln 2).
    low = goal - alpha * math.log(2)
    root = optimize.brentq(
        lambda w: (1 + alpha) * np.logaddexp(0, w) - np.logaddexp(0, -w) - goal,
        min(low, low / (1 + alpha)) - 1,
        goal + 1,
        maxiter=5000,
    )
    return float(special.expit(-root))


def _exp(x: float) -> float:
    return math.inf if x > 709 else math.exp(x)


def _power(base: float, exponent: float) -> float:
    try:
        return float(base**exponent)
    except (OverflowError, ZeroDivisionError):
        return math.inf


def _meeting(fast: Rate | _Law, slow: Rate | _Law) -> float:
    """Logarithm of the n from which on `fast`, whose exponent is the larger, is less than `slow`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = float(np.log(fast.amplitude) - np.log(slow.amplitude))
    fall = fast.exponent - slow.exponent
    if fall == 0 or math.isinf(gap):
        return math.copysign(math.inf, gap)
    if not fast.logarithm:
        return gap / fall
    # ln(x) - fall x falls from x = 1/fall on.
    least = gap - math.log(fall)
    if least <= 1:
        return -math.inf
    return float(optimize.brentq(lambda x: gap + math.log(x) - fall * x, 1 / fall, (2 * least + 2) / fall))


def _case(beta: float, edge: float, below: str, above: str) -> str:
    if math.isclose(beta, edge):
        return f"{above}; the target is just that smooth, which adds a logarithm"
    return below if beta < edge else above


def _resolution(alpha: float, beta: float) -> list[Rate]:
    p, data = 1 + alpha, _at_size(alpha, beta, 2)
    in_n = _case(
        beta,
        2 * p,
        "n samples resolve about n modes, and what is lost is the target power beyond them",
        "the target is smoother than the kernel can follow: the squared shrinkage of its first modes remains, and data "
        "saturate at 2(1+alpha)",
    )
    in_k = _case(
        beta,
        p,
        "k random features span about k modes, and what is lost is the target power beyond them",
        "the target is smoother than random features can follow: its first modes leak gamma/lambda out of their span, "
        "and width saturates at 1+alpha",
    )
    return [
        _rate(
            ("resolution-limited in n", "L(n, inf) at noise 0", "n"),
            data._replace(amplitude=p * data.amplitude),  # n/(n - df2) = 1 + alpha
            in_n,
            "infinite width, no noise, no ridge",
        ),
        _rate(
            ("resolution-limited in k", "L(inf, k) - noise", "k"),
            _at_size(alpha, beta, 1),
            in_k,
            "infinitely many samples, any noise, no ridge",
        ),
    ]


def _variance(noise: float) -> list[Rate]:
    noisy = " and the noise act" if noise > 0 else " acts"
    exact = "no ridge; exact for any target, kernel and noise"
    return [
        _rate(
            ("variance-limited in n", "[L(n, k) - L(inf, k)] / [k L(inf, k)]", "|n-k|"),
            _Law(1.0, 1.0, False, math.inf),
            f"what k features cannot express{noisy} on them as noise, averaged over n - k samples",
            f"n > k, {exact}",
        ),
        _rate(
            ("variance-limited in k", "[L(n, k) - L(n, inf)] / [n L(inf, k=n)]", "|n-k|"),
            _Law(1.0, 1.0, False, math.inf),
            "random features differ from the kernel by fluctuations, averaged over k - n features",
            f"k > n, {exact}",
        ),
        _rate(
            ("interpolation peak", "L(n, k) / [m L(inf, k=m)], m = min(n, k)", "|n-k|"),
            _Law(1.0, 1.0),
            "with as many features as samples the one fit that interpolates is ill-conditioned",
            "|n - k| << m, no ridge",
        ),
        _rate(
            ("top of the peak", "L(n, n) / {L(inf, k=n) [n gamma(n)]^(1/2)}", "ridge"),
            _Law(0.5, 0.5),
            "a ridge cuts the peak off where 1 - df1/n has come down to [ridge/(n gamma)]^(1/2)",
            "n = k, ridge << n gamma(n)",
        ),
    ]


def _time(alpha: float, beta: float) -> list[Rate]:
    p, u = 1 + alpha, spectral_constant(alpha)
    r = beta / p
    # First order in 1/k: the inverse Laplace transform at 2t of df1(z) d/dz sum v^2 z/(lambda+z), as powers of z.
    if math.isclose(beta, p):
        law = _Law(alpha / p, u / (p * math.gamma(1 / p)) * 2 ** (-alpha / p), True, 0.0)
        reason = "the first modes and those being learnt lose equally to the fluctuations of k features: a logarithm"
    elif beta < p:
        slope = r * _unlearnt(alpha, beta, 1).amplitude
        amplitude = u * slope / math.gamma(1 + 1 / p - r) * 2 ** ((1 - beta) / p)
        law = _Law((beta - 1) / p, amplitude, False, min(p - beta, 1.0) / p)
        reason = "the modes being learnt are slowed by the fluctuations of k features, by t^(1/(1+alpha))/k of the loss"
    else:
        amplitude = u * float(special.zeta(beta - alpha)) / math.gamma(1 / p) * 2 ** (-alpha / p)
        law = _Law(alpha / p, amplitude, False, min((beta - p) / p, 1.0))
        reason = "the first modes, which carry a smooth target, leak into those that are not yet learnt"
    rough = beta <= p
    ends = "the width is felt at t ~ k^(1+alpha)" if rough else "the leak of the first modes exceeds the smaller loss"
    return [
        _rate(
            ("time-limited", "L(inf, inf, t) - noise", "t"),
            _Law(r, _exp(float(special.gammaln(1 + r)) - r * math.log(2) - math.log(beta)), False, math.inf),
            "modes with lambda t < 1 are not yet learnt, and of the others nothing remains: time does not saturate",
            "gradient flow, infinite n and k",
        ),
        _rate(
            ("time and width", "k [L(inf, k, t) - L(inf, inf, t)]", "t"),
            law,
            reason,
            "gradient flow, infinite n, 1 << t << k^(1+alpha): first order in 1/k",
        ),
        _rate(
            ("scale-time equivalence ends", "t/k where L(inf, k, t) exceeds L(inf, inf, t) by a given share", "k"),
            _Law(-alpha if rough else 1 - p / (beta - alpha)),
            f"with features not divided by sqrt(k) only t, k times the raw time t/k, matters, until {ends}",
            "gradient flow at a fixed learning rate, infinite n",
        ),
    ]


def _tuned(alpha: float, beta: float, noise: float) -> list[Rate]:
    """Minimise c kappa^(b/p) + noise (alpha u/p) kappa^(-1/p)/n over kappa."""
    p, u, law = 1 + alpha, spectral_constant(alpha), _unlearnt(alpha, beta, 2)
    b = -p * law.exponent
    ratio = math.nan if law.logarithm else noise * alpha * u / (p * law.amplitude * b)  # kappa^((1+b)/p) n
    correction = 0.0 if law.logarithm else min(b, p * law.correction, 1.0) / (1 + b)
    valid = "infinite width, noise > 0" + ("; up to powers of a logarithm" if law.logarithm else "")
    return [
        _rate(
            ("noisy, best ridge", "min over ridge of L(n, inf) - noise", "n"),
            _Law(b / (1 + b), law.amplitude * (1 + b) * _power(ratio, b / (1 + b)), False, correction),
            "the ridge is raised until the target power given up falls as the noise fitted does",
            valid,
        ),
        _rate(
            ("best ridge", "kappa, nearly ridge/n", "n"),
            _Law(p / (1 + b), _power(ratio, p / (1 + b)), False, correction),
            "only the n^(1/(1+b)) modes that stand out of the noise are learnt, b = min(beta, 2(1+alpha))",
            valid,
        ),
    ]


def _noisy(alpha: float, beta: float, noise: float) -> list[Rate]:
    b = min(beta, 2 * (1 + alpha))
    plateau = _rate(
        ("noise plateau", "L(n, inf) - noise", "n"),
        _Law(0.0, noise * alpha, False, min(b, 1.0)),
        "without ridge the noise is interpolated too, which adds df2/(n - df2) = alpha of it however large n is",
        f"infinite width, no ridge, {_from(_meeting(_resolution(alpha, beta)[0], _Law(0.0, noise * alpha)))}, where it "
        "exceeds the noiseless loss",
    )
    adequate = _rate(
        ("smallest adequate width", "k with min over ridge of L(n, k) - noise within a given share of k = inf", "n"),
        _Law(-(1 if beta <= 1 + alpha else b - alpha) / (1 + b)),
        _case(
            beta,
            1 + alpha,
            "the features need only span the n^(1/(1+beta)) modes that stand out of the noise",
            "the leak gamma/lambda of the first modes, divided by k, must stay below a loss that falls faster",
        ),
        "noise > 0, the best ridge at every n and k",
    )
    return [plateau, *_tuned(alpha, beta, noise), adequate]


def _held(alpha: float, beta: float, noise: float, ridge: float) -> list[Rate]:
    """The terms of the excess with the ridge held, and where they hold: ridge/n between gamma(n) and lambda_1."""
    terms = ridge_rates(alpha, beta, decay=1.0, strength=ridge, noise=noise)
    start = max(ridge_crossover(alpha, ridge), ridge)
    valid = f"infinite width, {_from(math.log(start))}, where ridge/n "
    valid += "exceeds gamma(n)" if start > ridge else "falls below the first eigenvalue"
    if noise > 0:
        bias, noisy = sorted(terms, key=lambda rate: rate.regime.startswith("noisy"))
        if math.isclose(bias.exponent, noisy.exponent):
            valid += f"; the noise part is {noisy.amplitude * _power(bias.amplitude, -1):.3g} times the bias at every n"
        else:
            faster, slower = (bias, noisy) if bias.exponent > noisy.exponent else (noisy, bias)
            larger = "noise part" if slower is noisy else "bias"
            valid += f"; the {larger} is the larger for {_from(max(_meeting(faster, slower), math.log(start)))}"
    return [
        dataclasses.replace(
            rate,
            regime=f"{rate.regime}, ridge held",
            quantity=f"{rate.quantity.split(' at ')[0]} at ridge {ridge:.4g}",
            valid=valid,
        )
        for rate in terms
    ]


def _from(start: float) -> str:
    if start <= 0:
        return "every n"
    return f"n above {math.exp(start):.3g}" if start < 700 else f"n above e^{start:.3g}"


def _widths(alpha: float, beta: float, noise: float) -> list[Rate]:
    """Without ridge: L = [A k^-w + noise]/(1 - k/n) for k < n, and L(n, inf) + n L(inf, k=n)/(k-n) for k > n."""
    width = _at_size(alpha, beta, 1)
    w = width.exponent
    best = ("best width without ridge", "argmin over k < n of L(n, k)", "n")
    if noise > 0:
        amplitude = math.nan if width.logarithm else _power(w * width.amplitude / noise, 1 / (1 + w))
        law = _Law(-1 / (1 + w), amplitude, False, min(w, width.correction) / (1 + w))
        reason = "more features express more of the target, and fit more noise: noise k/n"
        return [_rate(best, law, reason, "noise > 0, no ridge")]
    law = _Law(-1.0, w / (1 + w), False, width.correction)
    reason = "more features express more of the target, until the peak at k = n is felt"
    adequate = _rate(
        ("smallest adequate width", "k > n with L(n, k) within a given share of L(n, inf)", "n"),
        _Law(w - 1 - min(beta, 2 * (1 + alpha))),
        _case(
            beta,
            1 + alpha,
            "the variance of the features, n L(inf, k=n)/(k - n), falls with n as the loss does",
            "a smooth target is learnt faster at infinite width, and the variance of the features must keep up",
        ),
        "no noise, no ridge",
    )
    return [_rate(best, law, reason, "no noise, no ridge"), adequate]


def _along_compute(alpha: float, beta: float, noise: float, method: str) -> Rate:
    found = frontiers.compute_phase(alpha, beta, method=method, noise=noise)
    return _rate(
        (
            f"compute-optimal ({method}, C = {found.cost}), phase {found.phase}",
            f"min over k of L - noise, at k ~ C^{found.width:.4g}",
            "C",
        ),
        _Law(found.loss),
        found.reason,
        found.valid,
    )
