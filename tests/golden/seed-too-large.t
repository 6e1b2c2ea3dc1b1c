$ chaoseater run plan.yaml --seed 9223372036854775808
! 2
--- stderr
chaoseater: --seed: '9223372036854775808' is not a whole number from 0 to 9223372036854775807
