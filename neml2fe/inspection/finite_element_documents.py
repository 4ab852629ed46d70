"""What the types and fields of finite-element decks mean: see `documents`."""

from __future__ import annotations

TYPES: dict[str, str] = {
    "Meshes/File": "A mesh made by gmsh or Abaqus, or any other file that meshio reads.",
    "Meshes/Rectangle": "A rectangle of equal cells, with the boundaries left, right, bottom, top.",
    "Meshes/Box": "A box of equal cells, with the boundaries left, right (x), bottom, top (y), "
    "back, front (z).",
    "Meshes/QuarterAnnulus": "A quarter of a ring about the origin, with the boundaries inner, "
    "outer, bottom (y = 0), left (x = 0).",
    "Meshes/Polycrystal": "A box or rectangle of equal cells in periodic Voronoi grains, with the "
    "regions grain_1, grain_2, ... and the cell data `grain`.",
    "Functions/PiecewiseLinear": "A number over time: points joined by straight lines, in the "
    "deck or in two columns of a CSV file. Time steps end at its points.",
    "Functions/Expression": "A number over time, by an expression of `t`, or over time and place, "
    "by one that reads `x`, `y` or `z` of the undeformed body as well.",
    "Fields/NodalField": "Values at the nodes: data of the mesh file by name, or a tensor with an "
    "entry for each node in the order of the mesh.",
    "Fields/ElementField": "Values of the elements: data of the mesh file by name, or a tensor "
    "with an entry for each element in the order of the mesh.",
    "Fields/RegionField": "A value for each of some regions, or one for the whole mesh.",
    "Fields/RandomOrientations": "An orientation, as modified Rodrigues parameters, for each grain "
    "of a Polycrystal, uniform over all rotations.",
    "Fields/CSVField": "A scalar from a table of x, y (, z) and value with one line of names, "
    "taken over to the nodes.",
    "Fields/ResultField": "Point data of an earlier result, a `.vtu` file or over time a `.pvd`, "
    "taken over to the nodes.",
    "Fields/FieldTable": "Other fields at some times, joined by straight lines.",
    "Materials/Material": "A model as the material of a finite-element run.",
    "Bodies/Body": "The elements of some regions of the mesh and their material. Every element "
    "belongs to one body.",
    "BoundaryConditions/Dirichlet": "A prescribed component of the displacement. Reactions are "
    "columns of the table of the run.",
    "BoundaryConditions/Traction": "Forces per area, in fixed directions.",
    "BoundaryConditions/Pressure": "Pressure against a boundary.",
    "BoundaryConditions/BodyForce": "Forces per volume of the undeformed body.",
    "BoundaryConditions/Gravity": "The force of gravity on bodies that have a density.",
    "BoundaryConditions/Centrifugal": "The centrifugal force on bodies that have a density: that "
    "times the square of the angular velocity times the distance from the axis. In the plane the "
    "axis is along z, of axisymmetric bodies that of symmetry.",
    "BoundaryConditions/NodalForce": "A force on each of some nodes.",
    "BoundaryConditions/Springs": "Linear springs between a boundary and the ground: per area, or "
    "one at each node.",
    "BoundaryConditions/RigidBody": "Nodes that move as one rigid body with a reference point. "
    "What no ControlDisplacement or ControlForce drives is free.",
    "BoundaryConditions/ControlDisplacement": "A prescribed displacement or rotation of a rigid "
    "body.",
    "BoundaryConditions/ControlForce": "A force on a rigid body, or a moment.",
    "BoundaryConditions/PeriodicCell": "Makes the mesh one period of an endless body under a mean "
    "strain, of which components are prescribed, or those of the mean stress. At finite strain "
    "these are the mean displacement gradient and first Piola-Kirchhoff stress.",
    "BoundaryConditions/CohesiveInterface": "A traction-separation law on an interface of the "
    "mesh.",
    "Probes/Probe": "One number of the solution as a column of the table of the run: a scalar at a "
    "point, or its mean, extreme or sum over a part of the mesh.",
    "Drivers/FiniteElementDriver": "A finite-element run with adaptive time steps, on any "
    "number of ranks.",
}

_Entry = tuple[str, str | None, str]  # type; default, None where required; meaning

FIELDS: dict[str, _Entry] = {
    "Meshes/File/file": ("path", None, "The file, beside the deck"),
    "Meshes/Polycrystal/cell_type": (
        "name",
        "hexahedron",
        "Cell type; in the plane quad or others",
    ),
    "Meshes/Polycrystal/seed": ("int", None, "Of the random centres of grains"),
    "Meshes/Polycrystal/grains": ("int", None, "Number of grains"),
    "Meshes/*/divisions": ("list of int", None, "Numbers of cells by direction"),
    "Meshes/*/lengths": ("list of float", None, "Lengths by direction"),
    "Meshes/*/radii": ("list of float", None, "Inner and outer radius"),
    "Meshes/*/cell_type": (
        "name",
        None,
        "triangle, triangle6, quad, quad8, quad9; tetra, tetra10, hexahedron, hexahedron20, "
        "hexahedron27, wedge",
    ),
    "Meshes/*/distortion": ("float", "0", "Random moves of inner vertices, by up to 0.4 of a cell"),
    "Meshes/*/seed": ("int", "0", "Of the random moves"),
    "Meshes/*/interfaces": (
        "list of name",
        "",
        "Boundaries inside of the mesh along which it is cut open, each an interface",
    ),
    "Meshes/*/interface_regions": (
        "list of name",
        "",
        "Regions between which it is cut open; `;` ends those of one interface, which is called "
        "as they are, joined by `_`",
    ),
    "Functions/*/times": ("list of float", "", "Increasing times"),
    "Functions/*/values": ("list of float", "", "Values at these times"),
    "Functions/*/csv_file": ("path", "", "Table instead of times and values"),
    "Functions/*/time_column": ("name", "", "Its column of times"),
    "Functions/*/value_column": ("name", "", "Its column of values"),
    "Functions/*/expr": ("expression", None, "An expression of `t`, `x`, `y`, `z` for a number"),
    "Fields/RegionField/values": (
        "list of Tensor",
        None,
        "Numbers or tensors, one a region; or one tensor with an entry for each",
    ),
    "Fields/RegionField/regions": ("list of name", "", "Regions; none: the whole mesh"),
    "Fields/*/values": ("name", None, "Name of the data, or of a block of [Tensors]"),
    "Fields/*/grains": ("int", None, "Number of grains"),
    "Fields/*/seed": ("int", None, "Of the random rotations"),
    "Fields/*/csv_file": ("path", None, "The table, beside the deck"),
    "Fields/*/file": ("path", None, "The result, beside the deck"),
    "Fields/*/variable": ("name", None, "Name of the data"),
    "Fields/*/method": ("name", "linear", "Between the places of the data: linear or nearest"),
    "Fields/*/outside": (
        "name",
        "error",
        "What nodes outside of the places of the data are: an error, or they take the value of "
        "the nearest; up to 1 % of the extent they always do",
    ),
    "Fields/*/times": ("list of float", None, "Increasing times"),
    "Fields/*/fields": ("list of Field", None, "The fields at these times"),
    "Materials/*/model": ("Model", None, "From strain to stress"),
    "Materials/*/strain": ("name", "", "The model's strain, where it is not found by itself"),
    "Materials/*/stress": ("name", "", "The model's stress, where it is not found by itself"),
    "Materials/*/time": ("name", "t", "The model's time"),
    "Materials/*/backend": ("name", "auto", "What runs it: auto, kernel (compiled) or eager"),
    "Materials/*/energy": ("name", "", "The model's stored energy, for the balance of energies"),
    "Materials/*/stress_measure": (
        "name",
        "auto",
        "Stress of a model of the deformation gradient, where the model does not say it: PK1, PK2, "
        "KIRCHHOFF or CAUCHY",
    ),
    "Bodies/*/material": ("Material", None, "Material"),
    "Bodies/*/regions": ("list of name", "", "Regions of the mesh; none: the whole mesh"),
    "Bodies/*/field_names": ("list of name", "", "Further inputs of the material"),
    "Bodies/*/field_values": ("list of Field", "", "Their values: numbers, functions or fields"),
    "Bodies/*/initial_state_names": (
        "list of name",
        "",
        "State variables that do not start virgin",
    ),
    "Bodies/*/initial_state_values": ("list of Field", "", "Their values: numbers or fields"),
    "Bodies/*/volumetric_locking_correction": (
        "bool",
        "false",
        "B-bar, at finite strain F-bar, in quad, hexahedron and wedge elements",
    ),
    "Bodies/*/quadrature_degree": ("int", "", "Degree that is integrated exactly"),
    "Bodies/*/density": ("float", "", "Mass per volume of the undeformed body"),
    "BoundaryConditions/Springs/boundary": ("name", None, "Boundary; or set of nodes, per node"),
    "BoundaryConditions/*/boundary": ("name", None, "Boundary of the mesh, or set of nodes"),
    "BoundaryConditions/*/nodes": ("name", None, "Boundary or set of nodes"),
    "BoundaryConditions/*/regions": ("list of name", "", "Regions; none: the whole mesh"),
    "BoundaryConditions/Dirichlet/component": (
        "name",
        None,
        "x, y, z, or normal: along the outward normal of the boundary",
    ),
    "BoundaryConditions/Dirichlet/value": ("Function", "0", "A number, or function of time, place"),
    "BoundaryConditions/*/frame": (
        "list of float",
        "",
        "Axes to which the component refers: unit vectors along local x; y; z, parted by `;`",
    ),
    "BoundaryConditions/Pressure/value": ("Function", None, "A number, or function of time, place"),
    "BoundaryConditions/*/follower": (
        "bool",
        "false",
        "Acts on the deformed boundary; needs finite strain",
    ),
    "BoundaryConditions/Control*/component": ("name", None, "x, y, z, rx, ry, rz; in 2-D x, y, rz"),
    "BoundaryConditions/Control*/value": ("Function", "0", "A number or a function of time"),
    "BoundaryConditions/Control*/body": ("name", None, "The RigidBody"),
    "BoundaryConditions/*/value": (
        "list of Function",
        None,
        "By component: numbers, or functions of time, place",
    ),
    "BoundaryConditions/*/acceleration": (
        "list of Function",
        None,
        "By component: numbers, or functions of time, place",
    ),
    "BoundaryConditions/*/angular_velocity": ("Function", None, "Radian per time"),
    "BoundaryConditions/RigidBody/point": ("list of float", None, "Reference point"),
    "BoundaryConditions/*/point": ("list of float", "the origin", "A point of the axis"),
    "BoundaryConditions/*/direction": ("list of float", "", "Of the axis, in 3-D"),
    "BoundaryConditions/*/stiffness": (
        "list of float",
        "",
        "Stiffness by component; this, or the two fields after it",
    ),
    "BoundaryConditions/*/stiffness_names": (
        "list of name",
        "",
        "In its place, normal and tangential: along the normal of the boundary and across it",
    ),
    "BoundaryConditions/*/stiffness_values": ("list of float", "", "Stiffness in these directions"),
    "BoundaryConditions/*/per": ("name", "area", "What a stiffness belongs to: area or node"),
    "BoundaryConditions/PeriodicCell/strain_names": (
        "list of name",
        "",
        "Prescribed components xx, yy, zz, yz, xz, xy; at finite strain also zy, zx, yx",
    ),
    "BoundaryConditions/PeriodicCell/strain_values": ("list of Function", "", "Their values"),
    "BoundaryConditions/PeriodicCell/stress_names": (
        "list of name",
        "",
        "Prescribed components of the mean stress; zero where neither is prescribed",
    ),
    "BoundaryConditions/PeriodicCell/stress_values": ("list of Function", "", "Their values"),
    "BoundaryConditions/*/pairs": (
        "list of name",
        "auto",
        "auto: the faces of a box; or pairs of opposite boundaries, parted by `;`",
    ),
    "BoundaryConditions/*/interface": ("name", None, "Interface of the mesh"),
    "BoundaryConditions/*/material": ("Material", None, "From displacement jump to traction"),
    "BoundaryConditions/*/quadrature": (
        "name",
        "gauss",
        "gauss, or nodes (Newton-Cotes), for stiff interfaces",
    ),
    "BoundaryConditions/*/field_names": ("list of name", "", "Further inputs of the material"),
    "BoundaryConditions/*/field_values": ("list of Function", "", "Their values"),
    "Probes/*/variable": (
        "name",
        None,
        "A scalar: displacement_x, reaction_y, stress_xx, mises, a state variable or a component "
        "of one, such as plastic_strain_xy",
    ),
    "Probes/*/point": ("list of float", "", "Where; a point of the undeformed mesh"),
    "Probes/*/on": (
        "name",
        "the whole mesh",
        "In place of a point: boundary, set of nodes, region or body",
    ),
    "Probes/*/statistic": ("name", "mean", "Over that part: mean, min, max or sum"),
    "Drivers/FiniteElementDriver/mesh": ("Mesh", "the only one", "Mesh"),
    "Drivers/FiniteElementDriver/material": (
        "Material",
        "the only one",
        "Material of the whole mesh, where there are no bodies",
    ),
    "Drivers/*/bodies": ("list of name", "all", "Bodies that make up the mesh"),
    "Drivers/*/boundary_conditions": ("list of name", "all", "Conditions that act"),
    "Drivers/*/probes": ("list of name", "all", "Probes that are read"),
    "Drivers/*/field_names": ("list of name", "", "Further inputs of all materials that have them"),
    "Drivers/*/field_values": ("list of Field", "", "Their values: numbers, functions or fields"),
    "Drivers/*/end_time": ("float", None, "Time at which the run ends"),
    "Drivers/*/start_time": ("float", "0", "Time at which it starts"),
    "Drivers/*/dt": ("float", None, "First time step"),
    "Drivers/*/dt_min": ("float", "dt/10000", "Smallest time step"),
    "Drivers/*/dt_max": ("float", "dt", "Largest time step"),
    "Drivers/*/growth": ("float", "1.5", "Growth after an easy step"),
    "Drivers/*/cutback": ("float", "0.5", "Reduction after a failed step"),
    "Drivers/*/easy_iterations": ("int", "5", "Newton iterations of an easy step, at most"),
    "Drivers/*/stops": ("list of float", "", "Times at which steps must end"),
    "Drivers/*/error_tolerance": (
        "float",
        "",
        "Local error of displacements in a step, relative to the largest one so far",
    ),
    "Drivers/*/formulation": (
        "name",
        "auto",
        "plane_strain, plane_stress, axisymmetric (x the radius, y the axis), three_dimensional",
    ),
    "Drivers/*/kinematics": (
        "name",
        "auto",
        "small or finite; at finite strain, a model of small strain gets the logarithmic strain",
    ),
    "Drivers/*/quadrature_degree": ("int", "", "Degree that is integrated exactly"),
    "Drivers/*/tolerance": ("float", "1e-12", "Out-of-balance forces, relative"),
    "Drivers/FiniteElementDriver/backend": ("name", "auto", "petsc or scipy"),
    "Drivers/*/petsc_options": ("text", "", "Options as on PETSc's command line"),
    "Drivers/*/petsc_options_file": (
        "path",
        "",
        "File of such options, beside the deck; those above override them",
    ),
    "Drivers/*/device": ("name", "cpu", "Device of elements and materials: cpu, cuda:0, ..."),
    "Drivers/*/output_every": ("int", "1", "Steps between outputs of fields"),
    "Drivers/*/output_times": ("list of float", "", "Times of outputs of fields, in its place"),
    "Drivers/*/output": (
        "list of name",
        "cells nodes",
        "Where fields are written: cells (means), nodes (averages), bodies (averages by body), "
        "points (at quadrature points)",
    ),
    "Drivers/*/format": ("name", "vtu", "Of the fields: vtu or xdmf (with HDF5)"),
    "Drivers/*/report": ("bool", "false", "Write a report of the run, as HTML and Markdown"),
    "Drivers/*/checkpoint_every": ("int", "10", "Steps between checkpoints; 0: only the last"),
    "Drivers/*/figure": ("name", "", "Scalar field to draw at the end"),
}
