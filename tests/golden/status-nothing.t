$ chaoseater status
--- stdout
nothing is live
