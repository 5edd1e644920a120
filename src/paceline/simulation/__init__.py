"""The deterministic simulation: the whole engine under virtual time, and a judge of its promises.

The engine, its statements (on SQLite in memory) and the adapters are the product's own. What is
simulated is what is not ours: time, the network, the providers, the people, and fate, which kills
and stalls processes between any two of their steps. All of it follows from a seed, so that a seed
which breaks a promise breaks it again, line by line.
"""

from paceline.simulation.run import Outcome, play, simulate

__all__ = ["Outcome", "play", "simulate"]
