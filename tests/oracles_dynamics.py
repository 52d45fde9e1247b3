"""Slow and obviously right: the loss in training time, for the tests of regimes.dynamics."""

import mpmath
import numpy as np

# The deterministic loss: the same integrals with plain sums in many digits, on other contours.


def gamma_at(eigenvalues, sizes, places):
    """gamma with z = gamma prod (1 - df1/size) at each complex z, to all digits of mpmath; one mode per eigenvalue.

    Newton from far out, where gamma = z, inwards along the ray through z in small steps; the last ones in mpmath.
    """
    targets = np.array([complex(z) for z in places])
    plain = np.array([float(size) for size in sizes])[:, None]
    radii = np.abs(targets)
    far = 1e3 * eigenvalues.sum() * (1 + 1 / plain.min()) + 10 * radii
    gamma = far * targets / radii
    for share in np.linspace(0, 1, 150):
        for _ in range(7):
            resolvent = 1 / (eigenvalues[:, None] + gamma)
            factors = 1 - eigenvalues @ resolvent / plain
            fall = eigenvalues @ resolvent**2
            goal = targets * (far / radii) ** (1 - share)
            step = np.log(gamma * factors.prod(axis=0) / goal) / (1 / gamma + (fall / plain / factors).sum(axis=0))
            gamma = gamma - step
    return [polished(eigenvalues, sizes, z, g) for z, g in zip(places, gamma, strict=True)]


def polished(eigenvalues, sizes, z, gamma):
    """gamma at z to all digits of mpmath, by Newton from a good guess."""
    gamma, values = mpmath.mpmathify(gamma), [mpmath.mpf(float(v)) for v in eigenvalues]
    for _ in range(4):
        factors = [1 - mpmath.fsum(v / (v + gamma) for v in values) / size for size in sizes]
        fall = mpmath.fsum(v / (v + gamma) ** 2 for v in values)
        product = mpmath.fprod(factors)
        slope = product * (1 + gamma * mpmath.fsum(fall / size / x for size, x in zip(sizes, factors, strict=True)))
        gamma -= (gamma * product - z) / slope
    return gamma


def talbot(count, time):
    """Nodes and weights of the inverse Laplace transform at a time, f(t) = sum w F(z): Weideman's contour, mpmath."""
    nodes = []
    for j in range(count):
        theta = mpmath.pi * (2 * j + 1 - count) / count
        angle = mpmath.mpf("0.6407") * theta
        place = (
            mpmath.mpf("-0.6122") + mpmath.mpf("0.5017") * theta * mpmath.cot(angle) + mpmath.mpc(0, "0.2645") * theta
        )
        turn = (
            mpmath.mpf("0.5017") * (mpmath.cot(angle) - angle / mpmath.sin(angle) ** 2) + mpmath.mpc(0, "0.2645")
        ) / mpmath.mpc(0, 1)
        nodes.append((count * place / time, mpmath.exp(count * place) * turn / time))
    return nodes


def circle(edge, count):
    """Trapezoidal rule for (1/2 pi i) times the integral over a circle around [-edge, 0], mpmath."""
    nodes = []
    for j in range(count):
        turn = mpmath.expjpi(mpmath.mpf(2 * j + 1) / count)
        nodes.append((mpmath.mpf(edge) * (turn - mpmath.mpf(1) / 2), mpmath.mpf(edge) * turn / count))
    return nodes


def wronskian_loss(eigenvalues, power, sizes, noise, first, second, place=0, train=False):
    """The double integral of w1 w2 [kappa1 P2 - kappa2 P1]/(z1 - z2), summed as it stands.

    `first` and `second` are two contours (z - place, w(z) dz/2 pi i) without a common node; sizes are n, k, ...
    """
    sizes = [mpmath.mpf(size) for size in sizes]
    values, squares = ([mpmath.mpf(float(v)) for v in column] for column in (eigenvalues, power))

    def prepared(contour):
        rows = []
        places = [zeta + place for zeta, _ in contour]
        for z, gamma, (_, weight) in zip(places, gamma_at(eigenvalues, sizes, places), contour, strict=True):
            df1 = mpmath.fsum(v / (v + gamma) for v in values)
            kappa = gamma * mpmath.fprod(1 - df1 / size for size in sizes[1:])
            unlearnt = mpmath.fsum(p * gamma / (v + gamma) for v, p in zip(values, squares, strict=True)) + noise
            rows.append((z, weight * (z / kappa if train else 1), kappa, unlearnt))
        return rows

    total = mpmath.mpf(0)
    other = prepared(second)
    for z, w, kappa, unlearnt in prepared(first):
        total += w * mpmath.fsum(v * (kappa * q - lappa * unlearnt) / (z - y) for y, v, lappa, q in other)
    return float(mpmath.re(total))


def flow_loss(eigenvalues, power, time, sizes, noise=0, decay=0, train=False):
    """`wronskian_loss` of gradient flow with weight decay, on two Talbot contours."""
    with mpmath.workdps(30):
        one, other = ([(zeta, w / zeta) for zeta, w in talbot(count, mpmath.mpf(time))] for count in (40, 46))
        return wronskian_loss(eigenvalues, power, sizes, noise, one, other, mpmath.mpf(decay), train)


def descent_loss(eigenvalues, power, steps, rate, sizes, edge, noise=0):
    """`wronskian_loss` of gradient descent, on two circles."""
    with mpmath.workdps(30):
        rate = mpmath.mpf(rate)
        one, other = (
            [(z, w * (1 + rate * z) ** steps / z) for z, w in circle(edge, count)] for count in (50 + steps, 57 + steps)
        )
        return wronskian_loss(eigenvalues, power, sizes, noise, one, other)


def flow_loss_of_parts(eigenvalues, power, time, n, k, noise=0):
    """Gradient flow as bias plus variance, the way it is derived from the regression given the features.

    With T = v^T M (M+kappa)^-1 v, U = (T(0) - T)/kappa and D12 = [kappa1 Z1 - kappa2 Z2]/(kappa1 - kappa2), the bias
    is the double transform of kappa1 kappa2/(z1 z2) [U2 - U1]/(kappa1 - kappa2)/(1 - D12/n), and the variance
    (unreachable power + noise)/n [2 G(t) - G(2t)], G the transform of kappa Z/z^2.
    """
    with mpmath.workdps(30):
        values, squares = ([mpmath.mpf(float(v)) for v in column] for column in (eigenvalues, power))
        total, time = mpmath.fsum(squares), mpmath.mpf(time)

        def df1(gamma):
            return mpmath.fsum(v / (v + gamma) for v in values)

        def learnt(gamma):
            return mpmath.fsum(p * v / (v + gamma) for v, p in zip(values, squares, strict=True))

        reachable = total
        if k < len(values):
            low, high = mpmath.mpf(0), mpmath.fsum(values) / k
            for _ in range(120):
                middle = (low + high) / 2
                low, high = (middle, high) if df1(middle) > k else (low, middle)
            reachable = learnt(high)

        def prepared(count, at):
            rows = []
            places, weights = zip(*talbot(count, at), strict=True)
            for z, w, gamma in zip(places, weights, gamma_at(eigenvalues, (n, k), places), strict=True):
                kappa = gamma * (1 - df1(gamma) / k)
                rows.append((z, w, kappa, df1(gamma), (reachable - learnt(gamma)) / kappa))
            return rows

        one, other = prepared(40, time), prepared(46, time)
        bias = mpmath.mpf(0)
        for z, w, kappa, df, u in one:
            for y, v, lappa, df_, u_ in other:
                both = (kappa * df - lappa * df_) / (kappa - lappa)
                bias += w * v * kappa * lappa / (z * y) * (u_ - u) / (kappa - lappa) / (1 - both / n)
        early, late = (
            mpmath.fsum(w * kappa * df / z**2 for z, w, kappa, df, _ in rows) for rows in (one, prepared(40, 2 * time))
        )
        unreachable = total - reachable + noise
        return float(mpmath.re(unreachable + bias + unreachable / n * (2 * early - late)))


def projected_flow_loss(eigenvalues, power, time, k):
    """Gradient flow at infinite n: one inverse Laplace transform at 2t of sum v^2 gamma/(lambda+gamma)/z."""
    with mpmath.workdps(30):
        places, weights = zip(*talbot(48, 2 * mpmath.mpf(time)), strict=True)
        total = mpmath.mpf(0)
        for z, w, gamma in zip(places, weights, gamma_at(eigenvalues, (k,), places), strict=True):
            total += (
                w
                / z
                * mpmath.fsum(float(p) * gamma / (float(v) + gamma) for v, p in zip(eigenvalues, power, strict=True))
            )
        return float(mpmath.re(total))


# One draw of finite matrices, with every iteration that is linear in the labels.


def trained(eigenvalues, power, n, k, rng):
    """One draw of n samples and k Gaussian features (infinite k: the modes themselves), ready for any filter.

    The signs of the target and the label noise are averaged over exactly. Returns losses(filters, noise): with
    theta = g(S) Phi^T y/n for the filter g(s) given at the eigenvalues of S = Phi^T Phi/n, the test and the
    training loss; and those eigenvalues.
    """
    modes, root = len(eigenvalues), np.sqrt(eigenvalues)
    weights = np.sqrt(power / eigenvalues)
    samples = rng.standard_normal((n, modes)) * root
    projection = np.eye(modes) if np.isinf(k) else rng.standard_normal((int(k), modes)) / np.sqrt(k)
    phi = samples @ projection.T
    values, vectors = np.linalg.eigh(phi.T @ phi / n)
    values = np.maximum(values, 0)
    back = root[:, None] * (projection.T @ vectors)
    into = vectors.T @ (phi.T @ (samples * weights)) / n
    gram = back.T @ back
    cross = ((back.T * (root * weights)) * into).sum(axis=1)
    square = gram * (into @ into.T)
    size = (into**2).sum(axis=1)
    seen = ((samples * weights) ** 2).sum() / n

    def losses(g, noise):
        test = power.sum() - 2 * g @ cross + g @ square @ g
        test += noise + noise / n * np.sum(g**2 * values * np.diag(gram))
        train = seen - 2 * g @ size + g**2 * values @ size
        train += noise / n * (n - 2 * g @ values + (g * values) @ (g * values))
        return test, train

    return losses, values


def flow_filter(values, time, decay=0.0):
    """(1 - exp(-(s + decay) t))/(s + decay): gradient flow from zero."""
    shifted = np.maximum(values + decay, 1e-300)
    return -np.expm1(-shifted * time) / shifted


def descent_filter(values, steps, rate):
    """rate times the sum of (1 - rate s)^u over u < steps, as the iteration adds it up."""
    result = np.zeros_like(values)
    for _ in range(steps):
        result = (1 - rate * values) * result + rate
    return result


# One-pass SGD.


def sgd_moments(eigenvalues, power, steps, rate, batch, noise, k=np.inf, rng=None):
    """Mean loss of one-pass SGD given the features, from the recursion of the second moments of the parameters.

    Gaussian samples: E g g^T = (1 + 1/B) C D C + (tr C D + unreachable power + noise) C/B for the mean gradient g of
    a batch, D the second moment of the error. Signs of the target are averaged over exactly; one draw of features.
    """
    if np.isinf(k):
        values, error, floor = eigenvalues, power / eigenvalues, noise
    else:
        projection = rng.standard_normal((int(k), len(eigenvalues))) / np.sqrt(k)
        values, vectors = np.linalg.eigh((projection * eigenvalues) @ projection.T)
        into = ((vectors.T @ projection) * eigenvalues) ** 2 @ (power / eigenvalues)
        error = into / values**2
        floor = noise + power.sum() - values @ error
    losses = []
    for _ in range(steps + 1):
        losses.append(values @ error + floor)
        shrink = 1 - 2 * rate * values + rate**2 * (1 + 1 / batch) * values**2
        error = shrink * error + rate**2 / batch * values * losses[-1]
    return np.array(losses)


def sgd_run(eigenvalues, power, steps, rate, batch, noise, runs, rng):
    """Losses of SGD with fresh Gaussian batches on the modes themselves: (runs, steps + 1)."""
    weights = np.sqrt(power / eigenvalues)
    error = -np.broadcast_to(weights, (runs, len(weights)))
    losses = []
    for _ in range(steps + 1):
        losses.append(error**2 @ eigenvalues + noise)
        x = rng.standard_normal((runs, batch, len(weights))) * np.sqrt(eigenvalues)
        residual = np.einsum("rbm,rm->rb", x, error) - np.sqrt(noise) * rng.standard_normal((runs, batch))
        error = error - rate / batch * np.einsum("rb,rbm->rm", residual, x)
    return np.array(losses).T


def volterra(forcing, kernel):
    """L(r) = F(r) + sum_{u<r} H(r-1-u) L(u), as written."""
    losses = []
    for r, start in enumerate(forcing):
        losses.append(start + sum(kernel[r - 1 - u] * losses[u] for u in range(r)))
    return np.array(losses)
