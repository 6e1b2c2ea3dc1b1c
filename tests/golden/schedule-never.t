# A time that never comes is found before anything waits for it.
$ chaoseater schedule plan.yaml
! 2
--- stderr
chaoseater: plan.yaml:1:11: schedule: '0 0 30 2 *' never comes: no year has such a day and time
--- file plan.yaml
schedule: "0 0 30 2 *"
experiments:
  - name: rot
    layer: data
    fault_type: data_corruption
