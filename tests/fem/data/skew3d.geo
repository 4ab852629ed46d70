// A parallelepiped without symmetry, 2 x 1 x 1 cells, with named groups.
// gmsh skew3d.geo -3 -order 1|2 [-setnumber hexahedra 1 | -setnumber wedges 1]
//     [-setnumber Mesh.SecondOrderIncomplete 1] [-format msh22|msh41] -o FILE
DefineConstant[ hexahedra = 0, wedges = 0 ];
Point(1) = {0, 0, 0};
Point(2) = {2, 0.3, 0.1};
Point(3) = {2.5, 1.4, 0.3};
Point(4) = {0.5, 1.1, 0.2};
Line(1) = {1, 2};
Line(2) = {2, 3};
Line(3) = {3, 4};
Line(4) = {4, 1};
Curve Loop(1) = {1, 2, 3, 4};
Plane Surface(1) = {1};
Transfinite Curve{1, 3} = 3;
Transfinite Curve{2, 4} = 2;
Transfinite Surface{1};
If (hexahedra)
  Recombine Surface{1};
EndIf
If (hexahedra || wedges)
  extruded[] = Extrude {0.2, -0.4, 0.9} { Surface{1}; Layers{1}; Recombine; };
Else
  extruded[] = Extrude {0.2, -0.4, 0.9} { Surface{1}; Layers{1}; };
EndIf
Physical Point("corner") = {1};
Physical Curve("edge") = {1};
Physical Surface("base") = {1};
Physical Surface("top") = {extruded[0]};
Physical Volume("body") = {extruded[1]};
