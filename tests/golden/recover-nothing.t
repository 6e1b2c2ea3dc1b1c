$ chaoseater recover
--- stdout
0 undone, 0 failed, 0 foreign
