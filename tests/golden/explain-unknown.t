$ chaoseater explain slow_inferense
! 2
--- stderr
chaoseater: no fault is called 'slow_inferense'; did you mean 'slow_inference'?
