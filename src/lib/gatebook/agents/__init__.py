"""Agents that learn Image Match from reward, with any gate in their memory.

``network`` has the encoder, the core and the heads, ``rma`` one more core, ``returns``
the advantages and the loss, ``acting`` the steps of an unroll, ``training`` the loop.
"""

from gatebook.agents.acting import Unroll, act
from gatebook.agents.network import Answerer, Core, Network, Said, build
from gatebook.agents.returns import actor_critic, advantages
from gatebook.agents.rma import RMA, RMAState
from gatebook.agents.training import A2C, fit

__all__ = [
    "RMA",
    "Answerer",
    "Core",
    "Network",
    "RMAState",
    "A2C",
    "Said",
    "Unroll",
    "act",
    "actor_critic",
    "advantages",
    "build",
    "fit",
]
