$ chaoseater --version --json
--- stdout
{"version": "0.1.0"}
