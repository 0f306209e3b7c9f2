"""Files and folders that several processes share or that may be left by a killed one."""
