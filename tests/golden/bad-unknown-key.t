# The nearest key is named, and all that there are.
$ chaoseater validate plan.yaml
! 2
--- stderr
chaoseater: plan.yaml:5:5: unknown key 'paramters'; did you mean 'parameters'? (accepted: name, layer, fault_type, duration, rollback_strategy, seed, baseline, recovery_timeout, tags, repeat, depends_on, parameters, target, schedule, steady_state, stop_when, rollback, blast_radius)
--- file plan.yaml
experiments:
  - name: slow
    layer: model
    fault_type: slow_inference
    paramters: {latency_ms: 200}
