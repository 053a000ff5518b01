"""The networks, one per file.

Each is a `layers.Network`. `Network(n_features, n_classes, config)` maps scaled windows (batch, bars, features) to
(batch, 1, outputs): the class logits and then the standardised return, each if its loss weight is not 0. A
unidirectional network also takes `last_bars` and returns outputs for each of the last bars, (batch, last_bars,
outputs).
"""

# The class of each network. Names, so that only those in use are imported. Adding a network takes one line here,
# its file and its section in MLOps/config/predictors.py.
NETWORKS: dict[str, str] = {
    "lstm": "MLOps.predictors.networks.lstm:LSTM",
    "gru": "MLOps.predictors.networks.gru:GRU",
    "bilstm": "MLOps.predictors.networks.bilstm:BiLSTM",
    "dlstm": "MLOps.predictors.networks.dlstm:DLSTM",
    "cnn_lstm": "MLOps.predictors.networks.cnn_lstm:CNNLSTM",
    "hybrid": "MLOps.predictors.networks.hybrid:Hybrid",
}
