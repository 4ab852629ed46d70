! A single element by itself: calls the subroutine UMAT as Abaqus/Standard does, through histories
! that prescribe the strain or the stress of each component, or the deformation gradient.
!
!     gfortran -O2 -fopenmp driver.f90 -o driver ./libsteel_umat.so
!     ./driver history.txt result.txt [history.txt result.txt ...]
!
! Several histories are run side by side by the threads of OpenMP. A history is, in free format:
!
!     'STEEL'           CMNAME
!     3 3 25            NDI, NSHR, NSTATV
!     0                 NPROPS, and in the same line PROPS
!     0  293.0          number of predefined fields; temperature and these fields at the start
!     strain            or gradient
!     2                 number of steps, each with a line of its own:
!     0.1 293.0   0 1 1 0 0 0   0.001 0 0 0 0 0
!     0.1 293.0   0 1 1 0 0 0   0.002 0 0 0 0 0
!
! A step has its length in time, the temperature and the fields at its end; then for `strain` a
! 0 (strain) or 1 (stress) for each component and the values that these have at its end, for
! `gradient` the deformation gradient there, 11 12 13 21 22 23 31 32 33. Everything varies linearly
! in a step. Strains and stresses are in the order 11, 22, 33, 12, 13, 23 with engineering shear.
!
! A step is one increment, unless PNEWDT asks for smaller ones. Each increment that is accepted
! gives a line of the result: total time, STRAN, STRESS, STATEV.
!
! Exit codes: 1 for a file that cannot be read, 3 where the smallest increment fails.

module single_element
  use, intrinsic :: iso_fortran_env, only: error_unit, real64
  implicit none
  integer, parameter :: real = real64, limit = 30
  real(real), parameter :: smallest = 1e-4_real, identity(3, 3) = &
    reshape([1, 0, 0, 0, 1, 0, 0, 0, 1], [3, 3]) * 1.0_real

  type element
    character(80) :: name
    integer :: ndi, nshr, ntens, nstatv, nprops
    integer :: step = 0, increment = 0
    real(real) :: time = 0, step_time = 0, temperature
    real(real), allocatable :: props(:), fields(:), stran(:), stress(:), statev(:)
    real(real) :: gradient(3, 3) = identity
  end type

  ! What a step is to reach.
  type target
    real(real) :: dtime, temperature
    real(real), allocatable :: fields(:), values(:)
    integer, allocatable :: control(:)
    real(real) :: gradient(3, 3)
  end type

contains

  subroutine run(history, result)
    character(*), intent(in) :: history, result
    type(element) :: now
    type(target) :: goal
    character(20) :: kind
    real(real) :: row(9)
    integer :: given, written, status, n_fields, n_steps, k

    open (newunit=given, file=history, status='old', action='read', iostat=status)
    if (status /= 0) call give_up(1, 'cannot read '//history)
    read (given, *, iostat=status) now%name
    if (status == 0) read (given, *, iostat=status) now%ndi, now%nshr, now%nstatv
    if (status == 0) read (given, *, iostat=status) now%nprops
    if (status /= 0) call give_up(1, history//': no name, NDI, NSHR, NSTATV or NPROPS')
    now%ntens = now%ndi + now%nshr
    backspace (given)
    allocate (now%props(max(now%nprops, 1)), source=0.0_real)
    read (given, *, iostat=status) now%nprops, now%props(:now%nprops)
    if (status == 0) read (given, *, iostat=status) n_fields
    if (status /= 0) call give_up(1, history//': no PROPS or fields')
    backspace (given)
    allocate (now%fields(n_fields), goal%fields(n_fields))
    read (given, *, iostat=status) n_fields, now%temperature, now%fields
    if (status == 0) read (given, *, iostat=status) kind
    if (status == 0) read (given, *, iostat=status) n_steps
    if (status /= 0) call give_up(1, history//': no temperature, kind or number of steps')

    allocate (now%stran(now%ntens), now%stress(now%ntens), now%statev(now%nstatv), source=0.0_real)
    allocate (goal%values(now%ntens), source=0.0_real)
    allocate (goal%control(now%ntens), source=0)
    goal%gradient = identity
    open (newunit=written, file=result, action='write', iostat=status, recl=100000)
    if (status /= 0) call give_up(1, 'cannot write '//result)
    do k = 1, n_steps
      if (kind == 'gradient') then
        read (given, *, iostat=status) goal%dtime, goal%temperature, goal%fields, row
        goal%gradient = transpose(reshape(row, [3, 3]))
      else
        read (given, *, iostat=status) goal%dtime, goal%temperature, goal%fields, &
          goal%control, goal%values
      end if
      if (status /= 0) call give_up(1, history//': a step is missing or wrong')
      call advance(now, goal, kind == 'gradient', written)
    end do
    close (given)
    close (written)
  end subroutine

  ! Take a step in as many increments as it needs.
  subroutine advance(now, goal, by_gradient, written)
    type(element), intent(inout) :: now
    type(target), intent(in) :: goal
    logical, intent(in) :: by_gradient
    integer, intent(in) :: written
    type(element) :: next
    type(target) :: start, part
    real(real) :: done, length, factor

    start = target(0.0_real, now%temperature, now%fields, &
                   merge(now%stress, now%stran, goal%control == 1), goal%control, now%gradient)
    now%step = now%step + 1
    now%increment = 0
    now%step_time = 0
    done = 0
    length = 1
    do while (done < 1)
      part = goal
      part%dtime = length * goal%dtime
      part%temperature = between(start%temperature, goal%temperature)
      part%fields = between(start%fields, goal%fields)
      part%values = between(start%values, goal%values)
      part%gradient = between(start%gradient, goal%gradient)
      next = now
      next%increment = now%increment + 1
      if (by_gradient) then
        call by_deformation(next, part, factor)
      else
        call by_components(next, part, factor)
      end if
      if (factor < 1) then
        length = factor * length
        if (length < smallest) call give_up(3, 'the smallest increment fails')
        cycle
      end if
      next%temperature = part%temperature
      next%fields = part%fields
      next%time = now%time + part%dtime
      next%step_time = now%step_time + part%dtime
      now = next
      done = merge(1.0_real, done + length, done + length > 1 - 1e-12_real)
      length = min(length, 1 - done)
      write (written, '(*(es26.17e3))') now%time, now%stran, now%stress, now%statev
    end do

  contains

    elemental real(real) function between(a, b)
      real(real), intent(in) :: a, b
      between = merge(b, a + (done + length) * (b - a), done + length > 1 - 1e-12_real)
    end function

  end subroutine

  ! Newton's method for the strains of the components whose stress is prescribed.
  subroutine by_components(now, goal, factor)
    type(element), intent(inout) :: now
    type(target), intent(in) :: goal
    real(real), intent(out) :: factor
    real(real) :: dstran(now%ntens), stress(now%ntens), statev(now%nstatv)
    real(real) :: ddsdde(now%ntens, now%ntens), miss(now%ntens), strain, largest, change
    real(real), allocatable :: move(:)
    integer, allocatable :: free(:)
    integer :: k, i

    free = pack([(i, i=1, now%ntens)], goal%control == 1)
    dstran = 0
    do k = 0, limit
      stress = now%stress
      statev = now%statev
      call call_umat(now, goal, now%stran, dstran, identity, stress, statev, ddsdde, factor)
      if (factor < 1) return
      miss = goal%values - stress
      ! As the stress of the greatest strain: an unloaded point keeps the round-off of that.
      strain = max(maxval(abs(now%stran)), maxval(abs(now%stran + dstran)))
      largest = max(maxval(abs(stress)), maxval(abs(goal%values), goal%control == 1), &
                    maxval(abs(ddsdde)) * strain)
      if (k == 0) then ! no strain yet: those that are prescribed, and what follows from them
        where (goal%control == 0) dstran = goal%values - now%stran
        miss = miss - matmul(ddsdde, dstran)
      else if (maxval([0.0_real, abs(miss(free))]) <= 1e-14_real * largest) then
        exit
      end if
      move = solved(ddsdde(free, free), miss(free))
      dstran(free) = dstran(free) + move
      change = maxval([0.0_real, abs(move)])
      if (k == limit .or. .not. change < huge(change)) then
        factor = 0.25
        return
      end if
    end do
    now%stran = now%stran + dstran
    now%stress = stress
    now%statev = statev

  end subroutine

  ! x of a x = b, by elimination with partial pivoting.
  function solved(a, b) result(x)
    real(real), intent(in) :: a(:, :), b(:)
    real(real) :: x(size(b)), m(size(b), size(b) + 1), row(size(b) + 1)
    integer :: j, l, p

    m(:, :size(b)) = a
    m(:, size(b) + 1) = b
    do j = 1, size(b)
      p = j - 1 + maxloc(abs(m(j:, j)), 1)
      row = m(p, :) / m(p, j)
      m(p, :) = m(j, :)
      m(j, :) = row
      do l = 1, size(b)
        if (l /= j) m(l, :) = m(l, :) - m(l, j) * row
      end do
    end do
    x = m(:, size(b) + 1)
  end function

  ! Strain and rotation of an increment by the midpoint rule of T. J. R. Hughes and J. Winget,
  ! IJNME 15 (1980) 1862; stress and strain are turned before the call, as Abaqus does.
  subroutine by_deformation(now, goal, factor)
    type(element), intent(inout) :: now
    type(target), intent(in) :: goal
    real(real), intent(out) :: factor
    real(real) :: l(3, 3), d(3, 3), w(3, 3), drot(3, 3), ddsdde(now%ntens, now%ntens)
    real(real) :: stran(now%ntens), stress(now%ntens), dstran(now%ntens), statev(now%nstatv)
    type(target) :: still

    still = goal
    still%gradient = now%gradient
    stress = now%stress
    statev = now%statev
    dstran = 0
    call call_umat(now, still, now%stran, dstran, identity, stress, statev, ddsdde, factor)
    if (factor < 1) return

    l = matmul(goal%gradient - now%gradient, inverse(0.5_real * (goal%gradient + now%gradient)))
    d = 0.5_real * (l + transpose(l))
    w = 0.5_real * (l - transpose(l))
    drot = matmul(inverse(identity - 0.5_real * w), identity + 0.5_real * w)
    dstran = components(d, 2.0_real)
    stran = components(turned(tensor(now%stran, 2.0_real)), 2.0_real)
    stress = components(turned(tensor(now%stress, 1.0_real)), 1.0_real)
    statev = now%statev
    call call_umat(now, goal, stran, dstran, drot, stress, statev, ddsdde, factor)
    if (factor < 1) return
    now%stran = stran + dstran
    now%stress = stress
    now%statev = statev
    now%gradient = goal%gradient

  contains

    function turned(t) result(found)
      real(real), intent(in) :: t(3, 3)
      real(real) :: found(3, 3)
      found = matmul(drot, matmul(t, transpose(drot)))
    end function

    function tensor(v, shear) result(t)
      real(real), intent(in) :: v(:), shear
      real(real) :: t(3, 3)
      integer :: k
      t = 0
      do k = 1, now%ndi
        t(k, k) = v(k)
      end do
      do k = 1, now%nshr
        t(first(k), second(k)) = v(now%ndi + k) / shear
        t(second(k), first(k)) = v(now%ndi + k) / shear
      end do
    end function

    function components(t, shear) result(v)
      real(real), intent(in) :: t(3, 3), shear
      real(real) :: v(now%ntens)
      integer :: k
      v = [(t(k, k), k=1, now%ndi), (shear * t(first(k), second(k)), k=1, now%nshr)]
    end function

    integer function first(k)
      integer, intent(in) :: k
      first = merge(2, 1, k == 3)
    end function

    integer function second(k)
      integer, intent(in) :: k
      second = merge(2, 3, k == 1)
    end function

  end subroutine

  function inverse(a) result(b)
    real(real), intent(in) :: a(3, 3)
    real(real) :: b(3, 3)
    integer :: i, j
    do i = 1, 3
      do j = 1, 3
        b(j, i) = a(next(i), next(j)) * a(next(i + 1), next(j + 1)) &
          - a(next(i), next(j + 1)) * a(next(i + 1), next(j))
      end do
    end do
    b = b / dot_product(a(1, :), b(:, 1))

  contains

    pure integer function next(k)
      integer, intent(in) :: k
      next = mod(k, 3) + 1
    end function

  end function

  ! One call; `factor` is PNEWDT. What a small-strain problem without energies does not have is
  ! zero, or the identity.
  subroutine call_umat(now, goal, stran, dstran, drot, stress, statev, ddsdde, factor)
    type(element), intent(in) :: now
    type(target), intent(in) :: goal
    real(real), intent(in) :: stran(:), dstran(:), drot(3, 3)
    real(real), intent(inout) :: stress(:), statev(:)
    real(real), intent(out) :: ddsdde(:, :), factor
    real(real) :: sse, spd, scd, rpl, ddsddt(now%ntens), drplde(now%ntens), drpldt
    external :: umat

    sse = 0; spd = 0; scd = 0; rpl = 0; ddsddt = 0; drplde = 0; drpldt = 0
    factor = 1e36_real ! Abaqus: a large number; less than 1 asks for a smaller increment
    ddsdde = 0
    call umat(stress, statev, ddsdde, sse, spd, scd, rpl, ddsddt, drplde, drpldt, stran, dstran, &
              [now%step_time, now%time], goal%dtime, now%temperature, &
              goal%temperature - now%temperature, now%fields, goal%fields - now%fields, now%name, &
              now%ndi, now%nshr, now%ntens, now%nstatv, now%props, now%nprops, &
              [0.0_real, 0.0_real, 0.0_real], drot, factor, 1.0_real, now%gradient, &
              goal%gradient, 1, 1, 1, 1, [now%step, 1, 0, 0], now%increment)
  end subroutine

  subroutine give_up(code, reason)
    integer, intent(in) :: code
    character(*), intent(in) :: reason
    write (error_unit, '(2a)') 'driver: ', reason
    stop code, quiet=.true.
  end subroutine

end module

program driver
  use single_element
  implicit none
  character(4096) :: given, result
  integer :: n, k

  n = command_argument_count()
  if (n < 2 .or. mod(n, 2) /= 0) call give_up(1, 'usage: driver HISTORY RESULT ...')
  !$omp parallel do schedule(dynamic, 1) private(given, result)
  do k = 1, n, 2
    call get_command_argument(k, given)
    call get_command_argument(k + 1, result)
    call run(trim(given), trim(result))
  end do
end program
