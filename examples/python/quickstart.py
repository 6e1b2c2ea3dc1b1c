# SPDX-License-Identifier: MIT
"""An experiment with the controller: is the pipeline as good when its training data is dirty?"""

from chaos_controller import ChaosController, ChaosLayer
from fault_injectors.data_injector import DataFaultInjector
from observers.metrics_observer import MetricsObserver

controller = ChaosController({"pipeline": {"kind": "embedded", "profile": "hardened"}})
controller.register_injector(ChaosLayer.DATA, DataFaultInjector())
controller.register_observer(MetricsObserver())

experiment = controller.create_experiment("dirty_training_data", ChaosLayer.DATA, "data_corruption", {"corruption_rate": 0.3},
                                          duration=10)
metrics = controller.run_experiment(experiment)
print(f"score {experiment.resilience_score:.1f}, {metrics.accuracy_degradation:.1f} points of accuracy lost,"
      f" {metrics.error_count} errors")
