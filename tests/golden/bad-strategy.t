# Strategies have names; a rollback is said in one way, not in two.
$ chaoseater validate plan.yaml
! 2
--- stderr
chaoseater: plan.yaml:5:24: rollback_strategy: 'canry' is not one of auto, immediate, gradual, canary, blue_green, circuit_breaker (did you mean 'canary'?)
--- file plan.yaml
experiments:
  - name: slow
    layer: model
    fault_type: slow_inference
    rollback_strategy: canry
