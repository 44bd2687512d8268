"""What pyproject.toml cannot say: the top-level `configs` is installed as the package `genimg.configs`."""

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
