"""Around the loop: batches of a table, what a network says of samples, and ensembles of networks."""

import numpy as np


def shuffled(data, size):
    """The ``batches`` of a table of samples: each epoch all of them once, in a new order.

    data     name → (sample, …) array or tensor, all with the same samples
    size     of a batch, at most; all batches of an epoch are as large as each other, or larger by one
    returns  function (epoch, generator) that yields dicts of (batch, …) tensors

    >>> import torch
    >>> batches = shuffled({"x": np.arange(5)}, 2)
    >>> [len(batch["x"]) for batch in batches(1, torch.Generator())]
    [2, 2, 1]
    """
    import torch

    data = {name: torch.as_tensor(values) for name, values in data.items()}
    count = len(next(iter(data.values())))

    def batches(epoch, generator):
        for pick in torch.randperm(count, generator=generator).tensor_split(-(-count // size)):
            yield {name: values[pick] for name, values in data.items()}

    return batches


def predict(model, batches, call):
    """What a network says of all samples, in evaluation mode and without gradients.

    model    torch.nn.Module, on any device
    batches  dicts of tensors, in order
    call     function (model, batch) to a (batch, …) tensor
    returns  (sample, …) array
    """
    import torch

    device, training = next(model.parameters()).device, model.training
    with torch.no_grad():
        model.eval()
        found = [call(model, {k: v.to(device) for k, v in batch.items()}).float().cpu() for batch in batches]
    model.train(training)
    return torch.cat(found).numpy()


def ensemble(build, run, *, members=5, seed=0):
    """A deep ensemble: the same network trained from other weights, in another order.

    build    function of no argument that returns an untrained torch.nn.Module
    run      function (model, seed) that trains it in place
    members  how many
    seed     the members have the seeds 1000 · seed + 0, 1, …
    returns  list of (model in evaluation mode, what ``run`` returned); see ``combine``

    Members from the store: ``[fitted(…, seed=1000 * seed + k) for k in range(5)]``.
    Lakshminarayanan et al. (2017).

    """
    import torch

    found = []
    for k in range(members):
        torch.manual_seed(1000 * seed + k)
        model = build()
        found.append((model, run(model, 1000 * seed + k)))
        model.eval()
    return found


def combine(means, sigmas):
    """Mean and standard deviation of an ensemble as of one mixture of equal parts.

        μ = mean(μₖ),  σ² = mean(σₖ² + μₖ²) − μ²

    means, sigmas  (member, …) of each member, in one unit; sigmas of 0 for members that give a mean alone
    returns        (…) mean, (…) standard deviation

    Lakshminarayanan et al. (2017), section 2.4.

    >>> mean, sigma = combine([1.0, 3.0], [2.0, 2.0])
    >>> float(mean), round(float(sigma) ** 2, 6)
    (2.0, 5.0)
    """
    means, sigmas = np.asarray(means, float), np.asarray(sigmas, float)
    return means.mean(0), np.sqrt(np.mean(sigmas**2, 0) + means.var(0))  # the same sum, without a small difference
