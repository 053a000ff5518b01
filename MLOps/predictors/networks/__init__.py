"""The networks, one a file. Each is `Network(features, classes, config)`:

scaled windows (batch, bars, features) to (batch, 1, outputs): the class logits and then the standardised return, of
those that the loss weights ask for. A network whose state runs forward only also takes `last_bars` and answers for
each of the last so many bars, (batch, last_bars, outputs).
"""

from torch import nn

from MLOps.predictors.networks.bilstm import BiLSTM
from MLOps.predictors.networks.cnn_lstm import CNNLSTM
from MLOps.predictors.networks.dlstm import DLSTM
from MLOps.predictors.networks.gru import GRU
from MLOps.predictors.networks.hybrid import Hybrid
from MLOps.predictors.networks.lstm import LSTM

# Adding a network is one line here, beside its file and its section in MLOps/config/predictors.py.
NETWORKS: dict[str, type[nn.Module]] = {
    "lstm": LSTM,
    "gru": GRU,
    "bilstm": BiLSTM,
    "dlstm": DLSTM,
    "cnn_lstm": CNNLSTM,
    "hybrid": Hybrid,
}
