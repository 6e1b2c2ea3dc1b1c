# Fields are named, and what they take. `validate` sees it, too.
$ chaoseater validate plan.yaml
! 2
--- stderr
chaoseater: plan.yaml:5:22: cron: hour: 24 is outside 0-23
--- file plan.yaml
experiments:
  - name: rot
    layer: data
    fault_type: data_corruption
    schedule: {cron: "0 24 * * *", timezone: UTC}
