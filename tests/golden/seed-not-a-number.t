$ chaoseater run plan.yaml --seed=-1
! 2
--- stderr
chaoseater: --seed: '-1' is not a whole number from 0 to 9223372036854775807
