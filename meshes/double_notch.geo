// A flat specimen of 20 x 50 mm with a circular notch of radius 4 mm in either edge, 8 mm apart in
// height. Second-order triangles to compute with, and quadrilaterals half as large to make data with:
//   gmsh -2 meshes/double_notch.geo -o meshes/double_notch.msh
//   gmsh -2 meshes/double_notch.geo -setnumber fine 1 -o meshes/double_notch_fine.msh
SetFactory("OpenCASCADE");
If (!Exists(fine)) fine = 0; EndIf
width = 20; height = 50; radius = 4; low = 21; high = 29;

Rectangle(1) = {0, 0, 0, width, height};
Disk(2) = {0, low, 0, radius};
Disk(3) = {width, high, 0, radius};
BooleanDifference(4) = { Surface{1}; Delete; }{ Surface{2, 3}; Delete; };

e = 1e-3;
bottom() = Curve In BoundingBox{-e, -e, -e, width+e, e, e};
top()    = Curve In BoundingBox{-e, height-e, -e, width+e, height+e, e};
left()   = Curve In BoundingBox{-e, low-radius-e, -e, radius+e, low+radius+e, e};
right()  = Curve In BoundingBox{width-radius-e, high-radius-e, -e, width+e, high+radius+e, e};

Physical Surface("specimen") = {4};
Physical Curve("bottom") = bottom();
Physical Curve("top") = top();
Physical Curve("left_notch") = left();
Physical Curve("right_notch") = right();

// Smallest at the notches. Bands of plastic flow run on to the ends: these are not coarse either.
size = fine ? 0.46 : 1.05;
Field[1] = MathEval;
Field[1].F = Sprintf("%g + 0.025 * Sqrt(x^2 + (y - %g)^2)", size - 0.1, low);
Field[2] = MathEval;
Field[2].F = Sprintf("%g + 0.025 * Sqrt((x - %g)^2 + (y - %g)^2)", size - 0.1, width, high);
Field[3] = Min;
Field[3].FieldsList = {1, 2};
Background Field = 3;
Mesh.MeshSizeExtendFromBoundary = 0;
Mesh.MeshSizeFromPoints = 0;
Mesh.Algorithm = 6;
Mesh.RecombineAll = fine;
Mesh.ElementOrder = 2;
Mesh.MshFileVersion = 4.1;
