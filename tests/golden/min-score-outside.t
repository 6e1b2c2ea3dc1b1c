$ chaoseater gate plan.yaml --min-score 101
! 2
--- stderr
chaoseater: --min-score: '101' is not a number from 0 to 100
