"""Rainbow DQN (Hessel et al., 2018, "Rainbow: combining improvements in deep reinforcement learning").

Six extensions of DQN, each of which can be read and tested by itself: double Q-learning (`learner`), duelling networks
(`network`), noisy networks (`noisy`), prioritised replay (`replay`, `sum_tree`), n-step returns (`replay`) and a
categorical distribution of returns (`distribution`, `network`).
"""
