// A plate of 40 x 100 mm with a hole of radius 8 mm at its centre, second-order quadrilaterals.
// Made with: gmsh -2 meshes/perforated_plate.geo -o meshes/perforated_plate.msh
SetFactory("OpenCASCADE");
width = 40; height = 100; radius = 8;

Rectangle(1) = {-width/2, -height/2, 0, width, height};
Disk(2) = {0, 0, 0, radius};
BooleanDifference(3) = { Surface{1}; Delete; }{ Surface{2}; Delete; };

e = 1e-3;
bottom() = Curve In BoundingBox{-width/2-e, -height/2-e, -e, width/2+e, -height/2+e, e};
top()    = Curve In BoundingBox{-width/2-e,  height/2-e, -e, width/2+e,  height/2+e, e};
hole()   = Curve In BoundingBox{-radius-e, -radius-e, -e, radius+e, radius+e, e};
corner() = Point In BoundingBox{-width/2-e, -height/2-e, -e, -width/2+e, -height/2+e, e};

Physical Surface("plate") = {3};
Physical Curve("bottom") = bottom();
Physical Curve("top") = top();
Physical Curve("hole") = hole();
Physical Point("corner") = corner();

// Fine at the hole, coarse at the ends.
Field[1] = Distance;  Field[1].CurvesList = {hole()};  Field[1].Sampling = 100;
Field[2] = Threshold; Field[2].InField = 1;
Field[2].SizeMin = 1.6; Field[2].SizeMax = 5; Field[2].DistMin = 3; Field[2].DistMax = 30;
Background Field = 2;
Mesh.MeshSizeExtendFromBoundary = 0;
Mesh.Algorithm = 6;
Mesh.RecombineAll = 1;
Mesh.ElementOrder = 2;
Mesh.MshFileVersion = 4.1;
