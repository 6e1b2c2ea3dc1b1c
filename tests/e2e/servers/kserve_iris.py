# SPDX-License-Identifier: MIT
"""kserve_iris.py MODELS HTTP_PORT GRPC_PORT: KServe's own model server around the classifiers of train.py.

iris and iris_old answer with the class, iris_scores with the probabilities of the classes.
"""
import sys
import warnings

import grpc
import mlflow.sklearn
import pandas
import uvicorn

folder, http_port, grpc_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
del sys.argv[1:]  # kserve reads them, too

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer  # noqa: E402

warnings.filterwarnings("ignore")
COLUMNS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]


def keep_to_the_loopback():
    """KServe listens on every address of the machine and has no option for less."""
    config, make_server = uvicorn.Config, grpc.aio.server

    def server(*arguments, **options):
        made = make_server(*arguments, **options)
        add = made.add_insecure_port
        made.add_insecure_port = lambda address: add(address.replace("[::]", "127.0.0.1"))
        return made

    uvicorn.Config = lambda *arguments, **options: config(*arguments, **{**options, "host": "127.0.0.1"})
    grpc.aio.server = server


class Classifier(Model):
    def __init__(self, name, saved, scores=False):
        super().__init__(name)
        self.classifier = mlflow.sklearn.load_model(f"{folder}/{saved}")
        self.scores = scores
        self.ready = True

    def answer(self, rows):
        frame = pandas.DataFrame(rows, columns=COLUMNS)
        return self.classifier.predict_proba(frame) if self.scores else self.classifier.predict(frame)

    @staticmethod
    def rows(request):
        """One tensor with a row for each, or one for each column."""
        if len(request.inputs) == 1:
            return request.inputs[0].as_numpy()
        columns = {tensor.name: tensor.as_numpy().reshape(-1) for tensor in request.inputs}
        return list(zip(*(columns[name] for name in COLUMNS)))

    def predict(self, payload, headers=None, response_headers=None):
        if not isinstance(payload, InferRequest):
            return {"predictions": self.answer(payload["instances"]).tolist()}
        answer = self.answer(self.rows(payload))
        name, datatype = ("scores", "FP64") if self.scores else ("species", "INT64")
        output = InferOutput(name, list(answer.shape), datatype)
        output.set_data_from_numpy(answer, binary_data=payload.use_binary_outputs)
        return InferResponse(payload.id or self.name, self.name, [output],  # KServe refuses to send no id
                             use_binary_outputs=payload.use_binary_outputs)


keep_to_the_loopback()
ModelServer(http_port=http_port, grpc_port=grpc_port, enable_grpc=True).start(
    [Classifier("iris", "iris"), Classifier("iris_old", "iris_old"), Classifier("iris_scores", "iris", scores=True)])
