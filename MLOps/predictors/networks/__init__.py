"""The networks, one a file. Each is `Network(n_features, n_classes, config)`:

scaled windows (batch, bars, features) to (batch, 1, outputs): the class logits and then the standardised return, of
those that the loss weights ask for. A network whose state runs forward only also takes `last_bars` and answers for
each of the last so many bars, (batch, last_bars, outputs).
"""

# The class of each network. Names, so that only those in use are imported. Adding a network is one line here, beside
# its file and its section in MLOps/config/predictors.py.
NETWORKS: dict[str, str] = {
    "lstm": "MLOps.predictors.networks.lstm:LSTM",
    "gru": "MLOps.predictors.networks.gru:GRU",
    "bilstm": "MLOps.predictors.networks.bilstm:BiLSTM",
    "dlstm": "MLOps.predictors.networks.dlstm:DLSTM",
    "cnn_lstm": "MLOps.predictors.networks.cnn_lstm:CNNLSTM",
    "hybrid": "MLOps.predictors.networks.hybrid:Hybrid",
}
