$ chaoseater run plan.yaml --state-dir=
! 2
--- stderr
chaoseater: --state-dir needs a value: --state-dir DIR
