// A parallelogram without symmetry, 2 x 1 cells, with named groups.
// gmsh skew2d.geo -2 -order 1|2 [-setnumber quads 1] [-setnumber Mesh.SecondOrderIncomplete 1]
//     [-format msh22|msh41|inp] -o FILE
DefineConstant[ quads = 0 ];
Point(1) = {0, 0, 0};
Point(2) = {2, 0.3, 0};
Point(3) = {2.5, 1.4, 0};
Point(4) = {0.5, 1.1, 0};
Line(1) = {1, 2};
Line(2) = {2, 3};
Line(3) = {3, 4};
Line(4) = {4, 1};
Curve Loop(1) = {1, 2, 3, 4};
Plane Surface(1) = {1};
Transfinite Curve{1, 3} = 3;
Transfinite Curve{2, 4} = 2;
Transfinite Surface{1};
If (quads)
  Recombine Surface{1};
EndIf
Physical Point("corner") = {3};
Physical Curve("bottom") = {1};
Physical Curve("sides") = {2, 4};
Physical Surface("body") = {1};
Mesh.SaveGroupsOfNodes = 1;
