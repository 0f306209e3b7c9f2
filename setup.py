"""Which folders are which packages: setuptools finds them, but cannot give a folder another import name by itself."""

from setuptools import find_packages, setup

FOLDERS = {"diffbio_core": "diffbio_core", "diffbio_io": "io", "diffbio_cluster": "cluster", "diffbio_flows": "flows"}

setup(
    packages=[
        package
        for name, folder in FOLDERS.items()
        for package in [name, *(f"{name}.{inner}" for inner in find_packages(folder))]
    ],
    package_dir=FOLDERS,
)
