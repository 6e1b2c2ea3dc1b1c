$ chaoseater run plan.yaml --seed
! 2
--- stderr
chaoseater: --seed needs a value: --seed N
