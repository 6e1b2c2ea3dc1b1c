$ chaoseater gate plan.yaml --min-score nan
! 2
--- stderr
chaoseater: --min-score: 'nan' is not a number from 0 to 100
