"""
A network that deconvolves
==========================

Convolutions that decorrelate their input replace batch normalisation. A network can be converted, trained, inspected,
and folded into plain layers for inference.
"""

import torch

import ndtools as nd

torch.manual_seed(0)
plain = torch.nn.Sequential(
    torch.nn.Conv2d(3, 16, 3, padding=1),
    torch.nn.BatchNorm2d(16),
    torch.nn.ReLU(),
    torch.nn.Conv2d(16, 32, 3, padding=1, stride=2),
    torch.nn.BatchNorm2d(32),
    torch.nn.ReLU(),
    torch.nn.AdaptiveAvgPool2d(1),
    torch.nn.Flatten(),
    torch.nn.Linear(32, 10),
)
network, plan = nd.convert(plain)
print(plan)

# %%
# The converted network is trained like any other. Here it takes ten steps on random images.

images, labels = torch.rand(64, 3, 32, 32), torch.randint(10, (64,))
optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
for _ in range(10):
    loss = torch.nn.functional.cross_entropy(network(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(nd.audit(network, images))

# %%
# Folding merges D into the weights. What is left are torch's own layers, and the outputs differ by rounding only.

network.eval()
folded, difference = nd.fold(network, images[:8])
print(folded)
print(f"largest difference: {difference:.1e}")
