"""The configurations, installed as `genimg.configs`: a folder is a group, a YAML file a choice."""
