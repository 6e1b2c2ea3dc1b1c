$ chaoseater --version
--- stdout
chaoseater 0.1.0
