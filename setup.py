"""Installs the top-level folder `configs` as the package `genimg.configs`, which pyproject.toml cannot express."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages("src"), "genimg.configs"],
    package_dir={"": "src", "genimg.configs": "configs"},
    package_data={
        "genimg.configs": ["**/*.yaml"],
        "genimg.sampling.export": ["*.md"],
        "genimg.report": ["*.html"],
        "genimg.evaluation.rating": ["*.html"],
    },
)
