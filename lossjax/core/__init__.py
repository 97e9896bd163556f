"""How any loss works: the class, its names, its configuration, its reduction, its checks."""
